// Package spiffe tests the SVIDs of a running server with go-spiffe, which is not ours. The Rust test
// integration/tests/all/spiffe.rs starts the server and says in the environment where it is and who calls:
// COUNTERSIGN_URL, TRUST_DOMAIN, and AGENT and TOOL, the credentials of two instances.
package spiffe

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func env(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: integration/tests/all/spiffe.rs runs these tests", name)
	}
	return value
}

func trustDomain(t *testing.T) spiffeid.TrustDomain {
	t.Helper()
	domain, err := spiffeid.TrustDomainFromString(env(t, "TRUST_DOMAIN"))
	check(t, err)
	return domain
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, why string) {
	t.Helper()
	if err == nil {
		t.Fatalf("was to be refused: %s", why)
	}
	t.Logf("%s: %v", why, err)
}

// mint calls a method of SvidService as the instance with this credential.
func mint(t *testing.T, credential, method string, request, answer any) {
	t.Helper()
	body, err := json.Marshal(request)
	check(t, err)
	url := env(t, "COUNTERSIGN_URL") + "/countersign.v1.SvidService/" + method
	call, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	check(t, err)
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Authorization", "Bearer "+credential)
	response, err := http.DefaultClient.Do(call)
	check(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	check(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", method, response.Status, text)
	}
	check(t, json.Unmarshal(text, answer))
}

// bundle reads the bundle that the server publishes.
func bundle(t *testing.T) *spiffebundle.Bundle {
	t.Helper()
	response, err := http.Get(env(t, "COUNTERSIGN_URL") + "/.well-known/spiffe-bundle")
	check(t, err)
	defer response.Body.Close()
	bundle, err := spiffebundle.Read(trustDomain(t), response.Body)
	check(t, err)
	return bundle
}

func TestBundle(t *testing.T) {
	bundle := bundle(t)
	if len(bundle.JWTAuthorities()) < 2 {
		t.Errorf("the active key and the next one are published, found %d", len(bundle.JWTAuthorities()))
	}
	if hint, set := bundle.RefreshHint(); !set || hint > 15*time.Minute {
		t.Errorf("refresh hint: %v", hint)
	}
	if sequence, set := bundle.SequenceNumber(); !set || sequence == 0 {
		t.Errorf("sequence number: %v", sequence)
	}
}
