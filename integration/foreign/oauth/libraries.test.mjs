// openid-client, oauth4webapi (OAuth 2.0) and jose (JWT) against a running server, used as their documentation says.
//
// COUNTERSIGN_ISSUER is the server's issuer, COUNTERSIGN_RITA the API key of its operator rita (registrar, issuer, gate),
// COUNTERSIGN_OSCAR that of oscar (approver).

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import * as client from "openid-client";

const issuer = new URL(process.env.COUNTERSIGN_ISSUER);
const rita = process.env.COUNTERSIGN_RITA;
const oscar = process.env.COUNTERSIGN_OSCAR;
const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessToken = "urn:ietf:params:oauth:token-type:access_token";

// The issuer is http://127.0.0.1 here; the libraries take https only unless told so.
const options = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
const discover = (id, authentication) => client.discovery(issuer, id, undefined, authentication, options);

/** A root credential, which OAuth has no grant for. */
async function issue() {
  const answer = await fetch(new URL("/issue", issuer), {
    method: "POST",
    headers: { authorization: `Bearer ${rita}`, "content-type": "application/json" },
    body: JSON.stringify({ tool: "billing", sponsor_id: "alice", agent: "support-assistant" }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()).token;
}

const exchanged = (config, subject, more = {}) =>
  client.genericGrantRequest(config, exchange, { subject_token: subject, subject_token_type: accessToken, ...more });

let basic;
let approver;
before(async () => {
  basic = await discover("rita", client.ClientSecretBasic(rita));
  approver = await discover("oscar", client.ClientSecretBasic(oscar));
});

test("discovery finds a server whose metadata names the same issuer", () => {
  const server = basic.serverMetadata();
  assert.equal(server.issuer, process.env.COUNTERSIGN_ISSUER);
  assert.deepEqual(server.grant_types_supported, [exchange]);
});

test("a credential is introspected with a client secret in the header or in the body", async () => {
  const token = await issue();
  for (const config of [basic, await discover("rita", client.ClientSecretPost(rita))]) {
    const said = await client.tokenIntrospection(config, token, { token_type_hint: "access_token" });
    assert.deepEqual([said.active, said.iss, said.scope], [true, process.env.COUNTERSIGN_ISSUER, "billing"]);
  }
  assert.deepEqual({ ...(await client.tokenIntrospection(basic, "garbage")) }, { active: false });
});

test("a token is exchanged by an operator and by whoever holds it", async () => {
  const parent = await issue();
  for (const config of [basic, await discover("support-assistant", client.None())]) {
    const child = await exchanged(config, parent, { scope: "billing", ttl: "60", agent: "refunds" });
    assert.equal(child.issued_token_type, accessToken);
    assert.ok(child.expires_in <= 60 && child.expires_in >= 50);
    const said = await client.tokenIntrospection(basic, child.access_token);
    assert.deepEqual([said.agent, said.depth, said.act.act.sub], ["refunds", 1, said.parent_agent_id]);
  }
});

test("a revoked token is inactive, and revoking it again or anything else is no error", async () => {
  const parent = await issue();
  const child = (await exchanged(basic, parent)).access_token;
  for (const token of [child, child, "garbage"]) {
    await client.tokenRevocation(approver, token, { token_type_hint: "access_token" });
  }
  assert.equal((await client.tokenIntrospection(basic, child)).active, false);
  assert.equal((await client.tokenIntrospection(basic, parent)).active, true);
});

test("errors are the library's own exceptions", async () => {
  const parent = await issue();
  for (const [config, more, error] of [
    [basic, { scope: "search" }, "invalid_scope"],
    [basic, { audience: "somebody-else" }, "invalid_target"],
    [basic, { ttl: "901" }, "invalid_request"],
    [approver, {}, "unauthorized_client"],
  ]) {
    await assert.rejects(exchanged(config, parent, more), (caught) => {
      assert.ok(caught instanceof client.ResponseBodyError, String(caught));
      assert.deepEqual([caught.error, caught.status], [error, 400]);
      return Boolean(caught.error_description);
    });
  }
  const stranger = await discover("rita", client.ClientSecretBasic(oscar));
  await assert.rejects(client.tokenIntrospection(stranger, parent), (caught) => {
    assert.ok(caught instanceof client.WWWAuthenticateChallengeError, String(caught));
    return caught.status === 401 && caught.cause[0].scheme === "basic";
  });
  await assert.rejects(client.clientCredentialsGrant(basic), { error: "unsupported_grant_type" });
});

test("a credential is verified by jose with the published keys", async () => {
  const token = await issue();
  const keys = createRemoteJWKSet(new URL(basic.serverMetadata().jwks_uri));
  const expected = { issuer: process.env.COUNTERSIGN_ISSUER, audience: "countersign", typ: "at+jwt", algorithms: ["ES256"] };
  const { payload } = await jwtVerify(token, keys, expected);
  assert.deepEqual([payload.sponsor_id, payload.tools], ["alice", ["billing"]]);
  await assert.rejects(jwtVerify(token, keys, { ...expected, audience: "x" }), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED" });
  await assert.rejects(jwtVerify(`${token.slice(0, -8)}AAAAAAAA`, keys, expected));
});

test("a credential is an access token as RFC 9068 has it", async () => {
  const bearing = (token) => new Request("http://127.0.0.1/", { headers: { authorization: `Bearer ${token}` } });
  const validate = async (audience) =>
    oauth.validateJwtAccessToken(basic.serverMetadata(), bearing(await issue()), audience, {
      [oauth.allowInsecureRequests]: true,
    });
  assert.equal((await validate("countersign")).client_id, "support-assistant");
  await assert.rejects(validate("somebody-else"));
});
