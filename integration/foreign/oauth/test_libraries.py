"""Authlib (OAuth 2.0) and PyJWT against a running server, used as their documentation says.

COUNTERSIGN_ISSUER is the server's issuer, COUNTERSIGN_RITA the API key of its operator rita (registrar, issuer, gate),
COUNTERSIGN_OSCAR that of oscar (approver).
"""

import os
import unittest

import jwt
import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator

ISSUER = os.environ["COUNTERSIGN_ISSUER"]
RITA = os.environ["COUNTERSIGN_RITA"]
OSCAR = os.environ["COUNTERSIGN_OSCAR"]
# The issuer is http://127.0.0.1 here; Authlib takes https only unless told so.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def discover():
    answer = requests.get(get_well_known_url(ISSUER, external=True), timeout=10)
    answer.raise_for_status()
    return AuthorizationServerMetadata(answer.json())


class Libraries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = discover()

    def session(self, method="client_secret_basic", client="rita", secret=RITA):
        session = OAuth2Session(client, secret, token_endpoint_auth_method=method,
                                revocation_endpoint_auth_method=method)
        self.addCleanup(session.close)
        return session

    def issue(self):
        """A root credential, which OAuth has no grant for."""
        url = "/".join(ISSUER.split("/", 3)[:3]) + "/issue"
        wanted = {"tool": "billing", "sponsor_id": "alice", "agent": "support-assistant"}
        answer = requests.post(url, json=wanted, headers={"authorization": f"Bearer {RITA}"}, timeout=10)
        answer.raise_for_status()
        return answer.json()["token"]

    def exchange(self, session, subject, **more):
        return session.fetch_token(self.server["token_endpoint"], grant_type=EXCHANGE, subject_token=subject,
                                   subject_token_type=ACCESS_TOKEN, **more)

    def introspect(self, session, token):
        answer = session.introspect_token(self.server["introspection_endpoint"], token=token,
                                          token_type_hint="access_token")
        self.assertEqual(answer.status_code, 200, answer.text)
        return answer.json()

    def test_metadata_is_valid_and_names_its_issuer(self):
        self.server.validate()
        self.assertEqual(self.server["issuer"], ISSUER)
        self.assertIn(EXCHANGE, self.server["grant_types_supported"])

    def test_a_credential_is_introspected_with_a_client_secret_in_the_header_or_in_the_body(self):
        token = self.issue()
        for method in ["client_secret_basic", "client_secret_post"]:
            said = self.introspect(self.session(method), token)
            self.assertEqual((said["active"], said["iss"], said["scope"]), (True, ISSUER, "billing"))
        self.assertEqual(self.introspect(self.session(), "garbage"), {"active": False})

    def test_a_token_is_exchanged_by_an_operator_and_by_whoever_holds_it(self):
        parent = self.issue()
        for session in [self.session(), self.session("client_secret_post"),
                        self.session("none", "support-assistant", None)]:
            child = self.exchange(session, parent, scope="billing", ttl="60", agent="refunds")
            self.assertEqual((child["token_type"], child["issued_token_type"]), ("Bearer", ACCESS_TOKEN))
            self.assertTrue(50 <= child["expires_in"] <= 60)
            said = self.introspect(self.session(), child["access_token"])
            self.assertEqual((said["agent"], said["depth"]), ("refunds", 1))
            self.assertEqual(said["act"]["act"]["sub"], said["parent_agent_id"])

    def test_a_revoked_token_is_inactive_and_revoking_it_again_or_anything_else_is_no_error(self):
        parent = self.issue()
        child = self.exchange(self.session(), parent)["access_token"]
        for token in [child, child, "garbage"]:
            answer = self.session(client="oscar", secret=OSCAR).revoke_token(
                self.server["revocation_endpoint"], token=token, token_type_hint="access_token")
            self.assertEqual((answer.status_code, answer.content), (200, b""))
        self.assertEqual(self.introspect(self.session(), child), {"active": False})
        self.assertTrue(self.introspect(self.session(), parent)["active"])

    def test_errors_are_the_librarys_own_exceptions(self):
        parent = self.issue()
        wrong = [
            (self.session(), {"scope": "search"}, "invalid_scope"),
            (self.session(), {"audience": "somebody-else"}, "invalid_target"),
            (self.session(), {"ttl": "901"}, "invalid_request"),
            (self.session(client="oscar", secret=OSCAR), {}, "unauthorized_client"),
            (self.session(secret=RITA[:-4] + "AAAA"), {}, "invalid_client"),
        ]
        for session, more, error in wrong:
            with self.assertRaises(OAuthError) as caught:
                self.exchange(session, parent, **more)
            self.assertEqual(caught.exception.error, error)
            self.assertTrue(caught.exception.description)
        with self.assertRaises(OAuthError) as caught:
            self.session().fetch_token(self.server["token_endpoint"], grant_type="client_credentials")
        self.assertEqual(caught.exception.error, "unsupported_grant_type")

    def test_a_credential_is_verified_by_pyjwt_with_the_published_keys(self):
        token = self.issue()
        keys = jwt.PyJWKClient(self.server["jwks_uri"])
        key = keys.get_signing_key_from_jwt(token).key
        claims = jwt.decode(token, key, algorithms=["ES256"], audience="countersign", issuer=ISSUER,
                            options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]})
        self.assertEqual((claims["sponsor_id"], claims["tools"]), ("alice", ["billing"]))
        with self.assertRaises(jwt.InvalidAudienceError):
            jwt.decode(token, key, algorithms=["ES256"], audience="somebody-else", issuer=ISSUER)
        with self.assertRaises(jwt.InvalidSignatureError):
            jwt.decode(token[:-8] + "AAAAAAAA", key, algorithms=["ES256"], audience="countersign")

    def test_a_credential_is_an_access_token_as_rfc_9068_has_it(self):
        keys = requests.get(self.server["jwks_uri"], timeout=10).json()

        class Validator(JWTBearerTokenValidator):
            def get_jwks(self):
                return keys

        def validate(token, audience):
            validator = Validator(issuer=ISSUER, resource_server=audience)
            validator.validate_token(validator.authenticate_token(token), [], None)

        validate(self.issue(), "countersign")
        with self.assertRaises(InvalidTokenError):
            validate(self.issue(), "somebody-else")


if __name__ == "__main__":
    unittest.main()
