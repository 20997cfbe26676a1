// Node's own client over one kept connection: a refused request takes no other one with it, and an idle connection stays.
//
// COUNTERSIGN_URL: the server. COUNTERSIGN_KEY: an API key. COUNTERSIGN_IDLE_SECONDS: how long the connection is left idle.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const { COUNTERSIGN_URL: url, COUNTERSIGN_KEY: key, COUNTERSIGN_IDLE_SECONDS: idle } = process.env;
const [small, large] = [30_000, 2_000_000].map((length) => `${' '.repeat(length)}{}`);
// Key, content type, body and the answer of requests that are refused before their body is read.
const refused = [
  ['csk_wrong', 'application/json', small, 401],
  [key, 'text/plain', small, 415],
  [key, 'application/json', large, 413],
];

function post(agent, bearer, type, body) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const options = { agent, method: 'POST', headers };
    const request = http.request(`${url}/countersign.v1.OperatorService/WhoAmI`, options, (response) => {
      response.on('error', reject).on('end', () => resolve([response.statusCode, request.reusedSocket])).resume();
    });
    request.on('error', reject).end(body);
  });
}

const keep = () => new http.Agent({ keepAlive: true, maxSockets: 1 });

test('a refusal takes no other request with it', async () => {
  const agent = keep();
  for (let round = 0; round < 20; round += 1) {
    for (const [bearer, type, body, status] of refused) {
      try {
        assert.equal((await post(agent, bearer, type, body))[0], status);
      } catch (error) {
        // The answer came while the rest was being sent, and said that the connection ends.
        assert.ok(body === large && ['EPIPE', 'ECONNRESET'].includes(error.code), error);
      }
      assert.equal((await post(agent, key, 'application/json', '{}'))[0], 200);
    }
  }
  agent.destroy();
});

test('an idle connection stays', async () => {
  const agent = keep();
  assert.deepEqual(await post(agent, key, 'application/json', '{}'), [200, false]);
  await sleep(Number(idle) * 1000);
  assert.deepEqual(await post(agent, key, 'application/json', '{}'), [200, true]);
  agent.destroy();
});
