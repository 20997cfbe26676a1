package countersign

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	countersignv1 "github.com/countersign/countersign-go/countersign/v1"
)

func TestAddresses(t *testing.T) {
	for _, test := range []struct{ url, refusal string }{
		{"http://127.0.0.1:1", ""},
		{"http://localhost:1", ""},
		{"http://[::1]:1", ""},
		{"https://example.com:1", ""},
		{"http://example.com:1", "plaintext"},
		{"http://10.0.0.1:1", "plaintext"},
		{"http://127.0.0.1.example.com:1", "plaintext"},
		{"127.0.0.1:8080", "not a server's address"},
		{"http://127.0.0.1", "not a server's address"},
		{"ftp://127.0.0.1:1", "not a server's address"},
		{"http://127.0.0.1:1/x", "not a server's address"},
		{"", "not a server's address"},
	} {
		conn, err := Connect(test.url, Options{})
		switch {
		case test.refusal == "" && err != nil:
			t.Errorf("%q: %v", test.url, err)
		case test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)):
			t.Errorf("%q: %v, expected a refusal that says %q", test.url, err, test.refusal)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func TestACallToAServerThatNeverAnswersEndsAtItsDeadline(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := Connect("http://"+silent.Addr().String(), Options{Deadline: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	started := time.Now()
	_, err = countersignv1.NewStatusServiceClient(conn).GetReadiness(
		context.Background(), &countersignv1.GetReadinessRequest{})
	if status.Code(err) != codes.DeadlineExceeded || time.Since(started) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(started))
	}
	if reason := ErrorReason(err); reason != "" {
		t.Errorf("the server gave the reason %q without answering", reason)
	}
}
