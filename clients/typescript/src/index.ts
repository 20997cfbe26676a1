/**
 * TypeScript client of Countersign for Node.
 *
 * `connect` opens a transport for the generated services in `@countersign/client/v1/*`, `Enrolment` answers who is
 * inside a rollout, `requestHash` is the hash of a call's arguments, and `errorReason` says why the server refused a
 * call.
 */
export { canonicalArguments, requestHash, UnhashableArguments } from "./arguments.js";
export { connect, type ConnectOptions } from "./connection.js";
export { errorReason } from "./errors.js";
export { bucket, Enrolment } from "./rollout.js";
