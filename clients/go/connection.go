package countersign

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	// DefaultDeadline is how long a call with one answer may take where its context has no deadline.
	DefaultDeadline = 5 * time.Second
	// DefaultStreamDeadline is how long a stream may last where its context has no deadline. Resume it as after any
	// broken stream.
	DefaultStreamDeadline = time.Hour
)

// Options say how to connect; the zero value is an anonymous caller with the default deadlines.
type Options struct {
	// Token is an API key or an instance's credential; it goes with every call as a bearer.
	Token string
	// Roots are the certificate authorities to trust; nil: those of the system.
	Roots *x509.CertPool
	// Deadline replaces DefaultDeadline unless zero.
	Deadline time.Duration
	// StreamDeadline replaces DefaultStreamDeadline unless zero.
	StreamDeadline time.Duration
}

// Connect makes a connection to the server at rawURL, for every client in countersign/v1. The caller closes it.
//
// rawURL is https://host:port, or http://host:port for a loopback host: elsewhere plaintext would show the token. Any
// other is an error. Nothing is dialled before the first call.
func Connect(rawURL string, options Options) (*grpc.ClientConn, error) {
	target, plaintext, err := target(rawURL)
	if err != nil {
		return nil, err
	}
	defaults := defaults{
		token:          options.Token,
		deadline:       orDefault(options.Deadline, DefaultDeadline),
		streamDeadline: orDefault(options.StreamDeadline, DefaultStreamDeadline),
	}
	dial := []grpc.DialOption{
		grpc.WithUnaryInterceptor(defaults.unary),
		grpc.WithStreamInterceptor(defaults.stream),
		// A peer that vanished without a word is noticed within 25 s, also by a stream.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
		// gRPC's own ceiling is two minutes: a gate that finds its server again that late has denied for two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 250 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if plaintext {
		// A proxy would carry the plaintext of a loopback connection off this machine.
		dial = append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	} else {
		config := &tls.Config{RootCAs: options.Roots, MinVersion: tls.VersionTLS12}
		dial = append(dial, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	}
	return grpc.NewClient(target, dial...)
}

// target is the host and port in rawURL, and whether it asks for plaintext.
func target(rawURL string) (hostPort string, plaintext bool, err error) {
	parsed, err := url.Parse(rawURL)
	if err != nil || parsed.Hostname() == "" || parsed.Port() == "" || parsed.User != nil ||
		(parsed.Scheme != "http" && parsed.Scheme != "https") || (parsed.Path != "" && parsed.Path != "/") {
		return "", false, fmt.Errorf(
			"%q is not a server's address; write https://host:port, or http://host:port on loopback", rawURL)
	}
	plaintext = parsed.Scheme == "http"
	if plaintext && !isLoopback(parsed.Hostname()) {
		return "", false, fmt.Errorf(
			"%q asks for plaintext to another machine, which would show the token; write https://", rawURL)
	}
	return parsed.Host, plaintext, nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func orDefault(value, otherwise time.Duration) time.Duration {
	if value == 0 {
		return otherwise
	}
	return value
}

// defaults give every call the token and a deadline that it did not bring itself.
type defaults struct {
	token          string
	deadline       time.Duration
	streamDeadline time.Duration
}

func (d defaults) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := withDeadline(d.withToken(ctx), d.deadline)
	defer cancel()
	return invoke(ctx, method, request, reply, conn, options...)
}

func (d defaults) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, cancel := withDeadline(d.withToken(ctx), d.streamDeadline)
	stream, err := open(ctx, desc, conn, method, append(options, grpc.OnFinish(func(error) { cancel() }))...)
	if err != nil {
		cancel()
	}
	return stream, err
}

func (d defaults) withToken(ctx context.Context) context.Context {
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	if d.token == "" || len(outgoing.Get("authorization")) > 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+d.token)
}

func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, set := ctx.Deadline(); set {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
