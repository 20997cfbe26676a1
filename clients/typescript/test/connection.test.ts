import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { connect, errorReason } from "@countersign/client";
import { StatusService } from "@countersign/client/v1/status";

test("loopback and TLS addresses are taken", () => {
  for (const server of ["http://127.0.0.1", "http://localhost", "http://[::1]", "https://example.com"]) {
    connect(`${server}:1`);
    connect(`${server}:443`);
  }
});

test("plaintext to another machine is refused", () => {
  for (const url of ["http://example.com:1", "http://10.0.0.1:1", "http://127.0.0.1.example.com:1"]) {
    assert.throws(() => connect(url), /plaintext/, url);
  }
});

test("anything else is no address", () => {
  for (const url of ["127.0.0.1:8080", "http://127.0.0.1", "ftp://127.0.0.1:1", "http://127.0.0.1:1/x", ""]) {
    assert.throws(() => connect(url), /not a server's address/, url);
  }
});

test("a call to a server that never answers ends at its deadline", { timeout: 5_000 }, async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  try {
    const call = createClient(StatusService, connect(url, { deadlineMs: 200 })).getReadiness({});
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, Code.DeadlineExceeded);
      assert.equal(errorReason(error), undefined);
      return true;
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
});
