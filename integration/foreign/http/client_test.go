// Package http_test is Go's own client over one kept connection: a refused request takes no other one with it, and an idle
// connection stays.
//
// COUNTERSIGN_URL: the server. COUNTERSIGN_KEY: an API key. COUNTERSIGN_IDLE_SECONDS: how long the connection is left idle.
package http_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

type question struct {
	bearer, kind, body string
	status             int
}

var (
	key   = os.Getenv("COUNTERSIGN_KEY")
	small = strings.Repeat(" ", 30_000) + "{}"
	large = strings.Repeat(" ", 2_000_000) + "{}"
	good  = question{key, "application/json", "{}", http.StatusOK}
	// Refused before their body is read.
	refused = []question{
		{"csk_wrong", "application/json", small, http.StatusUnauthorized},
		{key, "text/plain", small, http.StatusUnsupportedMediaType},
		{key, "application/json", large, http.StatusRequestEntityTooLarge},
	}
)

// ask sends a question, and says whether its connection had been used before.
func (q question) ask(client *http.Client) (status int, reused bool, err error) {
	url := os.Getenv("COUNTERSIGN_URL") + "/countersign.v1.OperatorService/WhoAmI"
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(q.body))
	if err != nil {
		return 0, false, err
	}
	// So that it is not sent again behind our back.
	request.GetBody = nil
	request.Header.Set("authorization", "Bearer "+q.bearer)
	request.Header.Set("content-type", q.kind)
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return 0, reused, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, reused, err
}

func kept() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 20 * time.Second}
}

func TestARefusalTakesNoOtherRequestWithIt(t *testing.T) {
	client := kept()
	for range 20 {
		for _, bad := range refused {
			// Of a large one the answer may come while the rest is being sent, and says that the connection ends.
			status, _, err := bad.ask(client)
			if (err != nil && bad.body != large) || (err == nil && status != bad.status) {
				t.Fatalf("a bad request: %d instead of %d, %v", status, bad.status, err)
			}
			if status, _, err := good.ask(client); err != nil || status != http.StatusOK {
				t.Fatalf("the good request after %d: %d, %v", bad.status, status, err)
			}
		}
	}
}

func TestAnIdleConnectionStays(t *testing.T) {
	client := kept()
	if status, _, err := good.ask(client); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	idle, err := strconv.ParseFloat(os.Getenv("COUNTERSIGN_IDLE_SECONDS"), 64)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(idle * float64(time.Second)))
	if status, reused, err := good.ask(client); err != nil || status != http.StatusOK || !reused {
		t.Fatal(status, reused, err)
	}
}
