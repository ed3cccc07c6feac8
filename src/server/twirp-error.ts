/** Error responses of unary calls; apart from the service, so that a refusal does not load it. */
import type { Code, TinyMQError } from "../errors.ts";

export const TWIRP_PREFIX = "/twirp/";

/** An error as a Twirp response (source: the Twirp wire protocol, v7, "Error Codes"). */
export function twirpError(error: TinyMQError): Response {
  return Response.json(
    { code: error.code.toLowerCase(), msg: error.message },
    { status: HTTP_STATUS[error.code] ?? 500 },
  );
}

const HTTP_STATUS: { readonly [Name in Code]?: number } = {
  CANCELLED: 408,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 408,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 412,
  ABORTED: 409,
  // Twirp says 400, but here only a body that is too large has this code, and HTTP has a status for that.
  OUT_OF_RANGE: 413,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  UNAUTHENTICATED: 401,
};
