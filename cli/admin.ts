/** Unary calls to a server: Twirp over HTTP with JSON (source: the Twirp specification, version 7). */
import { CODE_NUMBERS, type Code, ConnectionRefusedError, TinyMQError } from "../src/errors.ts";
import { serverUrl } from "./server-record.ts";
import type { Target } from "./target.ts";

const CALL_TIMEOUT_MS = 10_000;
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];

/** 64-bit numbers come as text; what is zero, or empty, may be left out. */
export type Json = { [name: string]: Json | Json[] | string | number | boolean | undefined };

/** Calls a method of the service Admin. Throws what the server answers, and UNAVAILABLE if nothing does. */
export async function callServer(target: Target, method: string, input: Json = {}): Promise<Json> {
  const response = await request(target, `/twirp/tinymq.v1.Admin/${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(target.token === "" ? {} : { authorization: `Bearer ${target.token}` }),
    },
    body: JSON.stringify(input),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  throw answeredError(target, response.status, text);
}

/** Whether the server answers HTTP, whatever it answers. */
export async function isAnswering(target: Target): Promise<boolean> {
  try {
    await request(target, "/health", { method: "GET" });
    return true;
  } catch (error) {
    if (error instanceof ConnectionRefusedError) return false;
    throw error;
  }
}

/** A count of an answer. */
export function countOf(value: Json[string] | undefined): number {
  return Number(value ?? 0);
}

async function request(target: Target, path: string, init: RequestInit): Promise<Response> {
  const url = serverUrl(target, "http");
  // A proxy cannot reach what is on this machine; Bun asks the environment only for this.
  if (LOOPBACK.includes(target.host)) process.env.NO_PROXY = process.env.no_proxy = LOOPBACK.join(",");
  try {
    return await fetch(url + path, {
      ...init,
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      redirect: "manual",
      // Its PID file says who it is; its certificate is made out for what others call it.
      ...(target.own ? { tls: { rejectUnauthorized: false } } : {}),
    });
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string };
    const why = name === "TimeoutError" ? `no answer within ${CALL_TIMEOUT_MS / 1_000} s` : (code ?? message);
    throw new ConnectionRefusedError(`no tinyMQ can be reached at ${serverUrl(target)}: ${why}`, {
      cause: error,
    });
  }
}

function answeredError(target: Target, status: number, text: string): TinyMQError {
  let answer: { code?: unknown; msg?: unknown } = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // No Twirp server: its own words would not help.
  }
  const code = String(answer.code ?? "").toUpperCase();
  if (typeof answer.msg === "string" && Object.hasOwn(CODE_NUMBERS, code)) {
    return new TinyMQError(code as Code, answer.msg);
  }
  return new TinyMQError(
    "UNAVAILABLE",
    `${serverUrl(target, "http")} is no tinyMQ: it answers with HTTP status ${status}`,
  );
}
