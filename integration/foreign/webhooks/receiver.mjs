// A receiver of webhooks that is not ours: the library of the specification verifies what arrives.
//
//   node receiver.mjs REFUSALS SECRET...
//
// Takes a free port of 127.0.0.1 and says which on standard output. Then a line of JSON for each message: what it answered,
// and which of the secrets verified it. Answers the first REFUSALS messages with 503. Speaks TLS if TLS_FOLDER is set: with
// cert.pem and key.pem in it.
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { Webhook } from 'standardwebhooks';

const [refusals, ...secrets] = process.argv.slice(2);
let left = Number(refusals);

function verified(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

const folder = process.env.TLS_FOLDER;
const file = (name) => readFileSync(`${folder}/${name}`);
const [protocol, options] = folder ? [https, { cert: file('cert.pem'), key: file('key.pem') }] : [http, {}];
const server = protocol.createServer(options, async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const status = left-- > 0 ? 503 : 204;
  response.writeHead(status).end();
  const { headers, method, url } = request;
  console.log(JSON.stringify({
    status,
    method,
    url,
    id: headers['webhook-id'],
    type: headers['content-type'],
    verified: secrets.map((secret) => verified(secret, body, headers)),
    message: JSON.parse(body),
  }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));

// Ends with whoever started it.
process.stdin.on('end', () => process.exit()).resume();
