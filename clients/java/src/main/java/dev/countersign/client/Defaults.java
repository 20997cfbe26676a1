package dev.countersign.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Gives every call the token and a deadline that it did not bring itself. */
record Defaults(String token, Duration deadline, Duration streamDeadline) implements ClientInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
        return new SimpleForwardingClientCall<>(next.newCall(method, withDeadline(method, options))) {
            @Override
            public void start(Listener<A> listener, Metadata headers) {
                if (!token.isEmpty() && !headers.containsKey(AUTHORIZATION)) {
                    headers.put(AUTHORIZATION, "Bearer " + token);
                }
                super.start(listener, headers);
            }
        };
    }

    private CallOptions withDeadline(MethodDescriptor<?, ?> method, CallOptions options) {
        if (options.getDeadline() != null) {
            return options;
        }
        Duration limit = method.getType().serverSendsOneMessage() ? deadline : streamDeadline;
        return options.withDeadlineAfter(limit.toMillis(), TimeUnit.MILLISECONDS);
    }

    @Override
    public String toString() {
        // A record would print the token.
        return "Defaults[deadline=" + deadline + ", streamDeadline=" + streamDeadline + "]";
    }
}
