package spiffe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

type x509Svid struct {
	Chain        []string  `json:"chain"`
	Bundle       []string  `json:"bundle"`
	SpiffeID     string    `json:"spiffeId"`
	SerialNumber string    `json:"serialNumber"`
	ExpireTime   time.Time `json:"expireTime"`
}

// newKeys are keys of the kinds that are taken, by name.
func newKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	return map[string]crypto.Signer{"P-256": p256, "P-384": p384, "Ed25519": ed, "RSA 2048": rsa2048}
}

// csr asks for a key, and for more than any instance may get.
func csr(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	wish, err := url.Parse("spiffe://other.example/admin")
	check(t, err)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "root of all", Organization: []string{"Everybody"}},
		DNSNames:        []string{"countersign.example.com"},
		URIs:            []*url.URL{wish},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: []byte{5, 0}}},
	}, key)
	check(t, err)
	return request
}

func mintX509(t *testing.T, credential string, key crypto.Signer) (x509Svid, []byte) {
	t.Helper()
	var minted x509Svid
	request := map[string]any{"csr": base64.StdEncoding.EncodeToString(csr(t, key))}
	mint(t, credential, "MintX509Svid", request, &minted)
	if len(minted.Chain) != 1 {
		t.Fatalf("one certificate below the authority, is %d", len(minted.Chain))
	}
	der, err := base64.StdEncoding.DecodeString(minted.Chain[0])
	check(t, err)
	return minted, der
}

// svidOf mints an SVID for a fresh key and reads it as go-spiffe does.
func svidOf(t *testing.T, credential string) *x509svid.SVID {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	_, der := mintX509(t, credential, key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	svid, err := x509svid.ParseRaw(der, pkcs8)
	check(t, err)
	return svid
}

func TestX509SvidHolds(t *testing.T) {
	for name, key := range newKeys(t) {
		minted, der := mintX509(t, env(t, "AGENT"), key)
		id, chains, err := x509svid.ParseAndVerify([][]byte{der}, bundle(t))
		check(t, err)
		if id.String() != minted.SpiffeID || !id.MemberOf(trustDomain(t)) {
			t.Errorf("%s: says %s, was minted for %s", name, id, minted.SpiffeID)
		}
		leaf := chains[0][0]
		if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 {
			t.Errorf("%s: other names: %v %v", name, leaf.URIs, leaf.DNSNames)
		}
		if leaf.Subject.String() != "" || leaf.IsCA || !leaf.BasicConstraintsValid {
			t.Errorf("%s: subject %q, CA %v", name, leaf.Subject, leaf.IsCA)
		}
		if leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 2 || len(leaf.UnknownExtKeyUsage) != 0 {
			t.Errorf("%s: usages %v %v", name, leaf.KeyUsage, leaf.ExtKeyUsage)
		}
		if leaf.SerialNumber.Text(16) != minted.SerialNumber || leaf.SerialNumber.BitLen() < 120 {
			t.Errorf("%s: serial number %x, said %s", name, leaf.SerialNumber, minted.SerialNumber)
		}
		if !leaf.NotAfter.Equal(minted.ExpireTime) || leaf.NotAfter.Sub(leaf.NotBefore) > 15*time.Minute {
			t.Errorf("%s: from %v until %v, said %v", name, leaf.NotBefore, leaf.NotAfter, minted.ExpireTime)
		}
		if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
			t.Errorf("%s: is for another key", name)
		}
	}
}

func TestX509BundleIsTheAnswers(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	minted, der := mintX509(t, env(t, "AGENT"), key)
	answered, published := x509bundle.New(trustDomain(t)), bundle(t).X509Bundle()
	for _, text := range minted.Bundle {
		authority, err := base64.StdEncoding.DecodeString(text)
		check(t, err)
		certificate, err := x509.ParseCertificate(authority)
		check(t, err)
		answered.AddX509Authority(certificate)
		if !certificate.IsCA || !certificate.MaxPathLenZero || len(certificate.URIs) != 1 ||
			certificate.URIs[0].String() != trustDomain(t).IDString() {
			t.Errorf("authority: CA %v, URIs %v", certificate.IsCA, certificate.URIs)
		}
	}
	if !answered.Equal(published) || len(published.X509Authorities()) < 2 {
		t.Errorf("the one that signs and the next one are published, found %d", len(published.X509Authorities()))
	}
	_, _, err = x509svid.ParseAndVerify([][]byte{der}, answered)
	check(t, err)
}

func TestX509SvidThatDoesNotHoldIsRefused(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	minted, der := mintX509(t, env(t, "AGENT"), key)
	bundle := bundle(t)
	verify := func(source x509bundle.Source, der []byte, options ...x509svid.VerifyOption) error {
		_, _, err := x509svid.ParseAndVerify([][]byte{der}, source, options...)
		return err
	}
	check(t, verify(bundle, der, x509svid.WithTime(minted.ExpireTime)))
	refused(t, verify(bundle, der, x509svid.WithTime(minted.ExpireTime.Add(time.Second))), "expired")
	refused(t, verify(bundle, der, x509svid.WithTime(time.Now().Add(-time.Minute))), "not yet valid")

	other := spiffeid.RequireTrustDomainFromString("other.example")
	foreign := x509bundle.FromX509Authorities(other, bundle.X509Authorities())
	refused(t, verify(foreign, der), "of another trust domain, even with the same authorities")
	refused(t, verify(x509bundle.New(trustDomain(t)), der), "of an authority that is not in the bundle")

	der[len(der)-1] ^= 1
	refused(t, verify(bundle, der), "a signature that was tampered with")
	authority := bundle.X509Authorities()[0].Raw
	refused(t, verify(bundle, authority), "an authority in the place of an SVID")
}

// echo serves one connection over mTLS, and says who called.
func echo(t *testing.T, config *tls.Config) net.Listener {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			secured := connection.(*tls.Conn)
			if secured.HandshakeContext(context.Background()) == nil {
				id, _ := x509svid.IDFromCert(secured.ConnectionState().PeerCertificates[0])
				io.WriteString(secured, id.String())
			}
			secured.Close()
		}
	}()
	return listener
}

// call connects and says what the other side said.
func call(listener net.Listener, config *tls.Config) (string, error) {
	connection, err := tls.Dial("tcp", listener.Addr().String(), config)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	said, err := io.ReadAll(connection)
	return string(said), err
}

func TestX509MutualTLSBetweenTwoInstances(t *testing.T) {
	agent, tool, bundle := svidOf(t, env(t, "AGENT")), svidOf(t, env(t, "TOOL")), bundle(t)
	server := echo(t, tlsconfig.MTLSServerConfig(tool, bundle, tlsconfig.AuthorizeID(agent.ID)))
	said, err := call(server, tlsconfig.MTLSClientConfig(agent, bundle, tlsconfig.AuthorizeID(tool.ID)))
	check(t, err)
	if said != agent.ID.String() {
		t.Errorf("the tool saw %q, the agent is %s", said, agent.ID)
	}

	// The agent wants somebody else; the tool does not want this one; and nobody without an SVID.
	_, err = call(server, tlsconfig.MTLSClientConfig(agent, bundle, tlsconfig.AuthorizeID(agent.ID)))
	refused(t, err, "a server with another id")
	_, err = call(server, tlsconfig.MTLSClientConfig(tool, bundle, tlsconfig.AuthorizeID(tool.ID)))
	refused(t, err, "a client with another id")
	_, err = call(server, tlsconfig.TLSClientConfig(bundle, tlsconfig.AuthorizeID(tool.ID)))
	refused(t, err, "a client without an SVID")
}
