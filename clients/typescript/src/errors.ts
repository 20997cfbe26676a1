/** Why the server refused a call. */
import { ConnectError } from "@connectrpc/connect";

import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** The domain of the ErrorInfo that the server's refusals carry. */
const DOMAIN = "countersign";

/**
 * The name of the ErrorReason that the server gave, without its prefix, such as `ROLLOUT_OPEN`.
 *
 * Undefined where the error did not come from a Countersign server: no connection, a deadline passed on this side, a
 * proxy in between. Such an error is no answer, and nothing may be taken as allowed.
 */
export function errorReason(error: unknown): string | undefined {
  if (!(error instanceof ConnectError)) {
    return undefined;
  }
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === DOMAIN)?.reason;
}
