/** Transports that cannot hang, and cannot leak a token. */
import { isIPv4 } from "node:net";

import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

/** How to connect. */
export interface ConnectOptions {
  /** An API key or an instance's credential; goes with every call as a bearer. Without one the caller is anonymous. */
  token?: string | undefined;
  /** Roots to trust, PEM; without them those of Node count. */
  rootCertificates?: string | Buffer;
  /** Milliseconds that a call with one answer may take where it does not name its own timeout; 5000. */
  deadlineMs?: number;
  /** Milliseconds that a stream may last where it does not name its own timeout; one hour. Then call again. */
  streamDeadlineMs?: number;
}

/**
 * A gRPC transport to the server at `url`, for every service in `@countersign/client/v1/*`.
 *
 * `url` is `https://host:port`, or `http://host:port` for a loopback host: elsewhere plaintext would show the token.
 * Throws a TypeError for any other. A lost connection is made again by the next call, with no back-off to wait for.
 */
export function connect(url: string, options: ConnectOptions = {}): Transport {
  const transport = createGrpcTransport({
    baseUrl: serverUrl(url).origin,
    interceptors: options.token ? [bearer(options.token)] : [],
    nodeOptions: options.rootCertificates === undefined ? {} : { ca: options.rootCertificates },
    // A peer that vanished without a word is noticed within 25 s, also by a stream.
    pingIntervalMs: 20_000,
    pingTimeoutMs: 5_000,
  });
  return withDeadlines(transport, options.deadlineMs ?? 5_000, options.streamDeadlineMs ?? 3_600_000);
}

function serverUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // URL drops a port that is the scheme's own, so whether one was written is asked of the text.
  const hasPort = /:\d+\/?$/.test(text);
  if (!url || !["http:", "https:"].includes(url.protocol) || !hasPort || url.pathname !== "/" || url.username) {
    throw new TypeError(`${text} is not a server's address; write https://host:port, or http://host:port on loopback`);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new TypeError(`${text} asks for plaintext to another machine, which would show the token; write https://`);
  }
  return url;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || (isIPv4(host) && host.startsWith("127."));
}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    if (!request.header.has("authorization")) {
      request.header.set("authorization", `Bearer ${token}`);
    }
    return next(request);
  };
}

/** Gives every call a deadline that it did not bring itself; a transport has only one default for calls and streams. */
function withDeadlines(transport: Transport, deadlineMs: number, streamDeadlineMs: number): Transport {
  return {
    unary: (method, signal, timeoutMs, ...rest) => transport.unary(method, signal, timeoutMs ?? deadlineMs, ...rest),
    stream: (method, signal, timeoutMs, ...rest) =>
      transport.stream(method, signal, timeoutMs ?? streamDeadlineMs, ...rest),
  };
}
