#!/usr/bin/env sh
":" /*; # This line does nothing in a shell, and begins a comment in JavaScript: see cli/build-launcher.ts.
self=$0
[ "${self%/*}" = "$self" ] && self=./$self
while [ -L "$self" ]; do
  link=$(readlink "$self") || break
  case $link in
    /?*) self=$link ;;
    *) self=${self%/*}/$link ;;
  esac
done
command -v bun >/dev/null && exec bun "${self%/*}/cli.js" "$@"
command -v node >/dev/null && exec node "$self" "$@"
cat >&2 <<END
tinyMQ runs on Bun, which is not installed here. Get it from https://bun.com:

  curl -fsSL https://bun.com/install | bash

Then run this command again. (Looked on PATH.)
END
exit 1
*/
