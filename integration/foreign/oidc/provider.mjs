// An OpenID Connect provider that is not ours, with fresh keys at every start. Its clients are service accounts: they get
// JWT access tokens by client credentials, for the audience that they name as resource.
//
//   node provider.mjs PORT [ISSUER FOLDER]
//
// With an issuer it speaks TLS, with cert.pem and key.pem of the folder.
// Says "listening" on standard output once it does.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const [port, issuer, folder] = process.argv.slice(2);

// Who there is: what they sign with, which roles they have, and how long their tokens last, seconds.
const accounts = {
  ada: { alg: 'RS256', roles: ['cs-admins', 'others'] },
  'Bob Example': { alg: 'ES256', roles: ['cs-approvers'] },
  eddie: { alg: 'EdDSA', roles: ['cs-approvers'] },
  pia: { alg: 'PS256', roles: ['cs-approvers'] },
  brief: { alg: 'RS256', roles: ['cs-admins'], ttl: 1 },
  guest: { alg: 'RS256', roles: ['visitors'] },
};

function key(type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig' };
}

const provider = new Provider(issuer ?? `http://127.0.0.1:${port}`, {
  jwks: {
    keys: [key('rsa', { modulusLength: 2048 }), key('ec', { namedCurve: 'P-256' }), key('ed25519')],
  },
  clients: Object.keys(accounts).map((id) => ({
    client_id: id,
    client_secret: 'a-secret-of-the-tests',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
  })),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource, client) => ({
        scope: '',
        audience: resource,
        accessTokenTTL: accounts[client.clientId].ttl ?? 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: accounts[client.clientId].alg } },
      }),
    },
  },
  extraTokenClaims: (_context, token) => ({ realm_access: { roles: accounts[token.clientId].roles } }),
});

const listening = () => console.log('listening');
if (folder) {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => readFileSync(`${folder}/${name}`));
  createServer({ cert, key }, provider.callback()).listen(port, '127.0.0.1', listening);
} else {
  provider.listen(port, '127.0.0.1', listening);
}
// Whoever started this is gone when its end of the pipe is.
process.stdin.resume().on('end', () => process.exit());
