/** The names of all topics in order, so that a page of them is found without sorting them all. */

export class SortedNames {
  readonly #names: string[] = [];

  /** Adds a name that is not there. */
  add(name: string): void {
    this.#names.splice(this.#indexFrom(name), 0, name);
  }

  /** Removes a name that is there. */
  remove(name: string): void {
    this.#names.splice(this.#indexFrom(name), 1);
  }

  /** The names that begin with `prefix` and sort after `after` ("": all), at most `limit`; and how many begin so. */
  page(prefix: string, after: string, limit: number): { names: string[]; total: number } {
    const first = this.#indexFrom(prefix);
    const end = this.#indexWhere((name) => name >= prefix && !name.startsWith(prefix));
    const from = after < prefix ? first : this.#indexWhere((name) => name > after);
    return { names: this.#names.slice(from, Math.min(end, from + limit)), total: end - first };
  }

  /** The index of the first name at or above `name`. */
  #indexFrom(name: string): number {
    return this.#indexWhere((other) => other >= name);
  }

  /** The index of the first name of which `isBehind` holds; it holds for all that follow. */
  #indexWhere(isBehind: (name: string) => boolean): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBehind(this.#names[middle]!)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
