package dev.countersign.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * Makes channels that cannot hang, and cannot leak a token.
 *
 * <pre>{@code
 * ManagedChannel channel = Connection.to("https://countersign.example:8080").token(credential).open();
 * }</pre>
 */
public final class Connection {
    /** How long a call with one answer may take where it does not name its own deadline. */
    public static final Duration DEADLINE = Duration.ofSeconds(5);

    /** How long a stream may last where it names no deadline. Resume it as after any broken stream. */
    public static final Duration STREAM_DEADLINE = Duration.ofHours(1);

    private static final Pattern LOOPBACK = Pattern.compile("localhost|\\[::1]|127(\\.\\d{1,3}){3}");

    private final URI url;
    private final TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    private String token = "";
    private Duration deadline = DEADLINE;
    private Duration streamDeadline = STREAM_DEADLINE;

    private Connection(URI url) {
        this.url = url;
    }

    /**
     * A connection to the server at {@code url}: {@code https://host:port}, or {@code http://host:port} for a loopback
     * host; elsewhere plaintext would show the token.
     *
     * @throws IllegalArgumentException for any other {@code url}
     */
    public static Connection to(String url) {
        URI uri = URI.create(url);
        boolean https = "https".equals(uri.getScheme());
        boolean http = "http".equals(uri.getScheme());
        if (!(http || https) || uri.getHost() == null || uri.getPort() < 0 || uri.getUserInfo() != null
                || !uri.getPath().matches("/?")) {
            throw new IllegalArgumentException(
                    url + " is not a server's address; write https://host:port, or http://host:port on loopback");
        }
        if (http && !LOOPBACK.matcher(uri.getHost()).matches()) {
            throw new IllegalArgumentException(
                    url + " asks for plaintext to another machine, which would show the token; write https://");
        }
        return new Connection(uri);
    }

    /** An API key or an instance's credential; goes with every call as a bearer. Without one: anonymous. */
    public Connection token(String token) {
        this.token = token;
        return this;
    }

    /**
     * The certificate authorities to trust, a PEM file, instead of Java's own.
     *
     * @throws IOException where the file cannot be read
     */
    public Connection rootCertificates(Path pem) throws IOException {
        try (var certificates = Files.newInputStream(pem)) {
            tls.trustManager(certificates);
        }
        return this;
    }

    /** Replaces {@link #DEADLINE}. */
    public Connection deadline(Duration deadline) {
        this.deadline = deadline;
        return this;
    }

    /** Replaces {@link #STREAM_DEADLINE}. */
    public Connection streamDeadline(Duration streamDeadline) {
        this.streamDeadline = streamDeadline;
        return this;
    }

    /** A channel for every stub in {@code dev.countersign.v1}; dialled by the first call. Shut it down after use. */
    public ManagedChannel open() {
        boolean plaintext = url.getScheme().equals("http");
        ChannelCredentials credentials = plaintext ? InsecureChannelCredentials.create() : tls.build();
        NettyChannelBuilder builder = NettyChannelBuilder
                // URI keeps the brackets of an IPv6 address, gRPC adds its own.
                .forAddress(url.getHost().replaceAll("[\\[\\]]", ""), url.getPort(), credentials)
                .intercept(new Defaults(token, deadline, streamDeadline))
                // A peer that vanished without a word is noticed within 25 s, also by a stream.
                .keepAliveTime(20, TimeUnit.SECONDS)
                .keepAliveTimeout(5, TimeUnit.SECONDS);
        if (plaintext) {
            // A proxy would carry the plaintext of a loopback connection off this machine.
            builder.proxyDetector(address -> null);
        }
        ManagedChannel channel = builder.build();
        BackoffCeiling.on(channel);
        return channel;
    }
}
