package dev.countersign.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.countersign.v1.GetReadinessRequest;
import dev.countersign.v1.StatusServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ConnectionTest {
    @ParameterizedTest
    @ValueSource(strings = {"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://example.com:1"})
    void loopbackAndTlsAddressesAreTaken(String url) {
        Connection.to(url).open().shutdownNow();
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://example.com:1", "http://10.0.0.1:1", "http://127.0.0.1.example.com:1"})
    void plaintextToAnotherMachineIsRefused(String url) {
        var refusal = assertThrows(IllegalArgumentException.class, () -> Connection.to(url));
        assertTrue(refusal.getMessage().contains("plaintext"), refusal.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.1:8080", "http://127.0.0.1", "ftp://127.0.0.1:1", "http://127.0.0.1:1/x", ""})
    void anythingElseIsNoAddress(String url) {
        assertThrows(IllegalArgumentException.class, () -> Connection.to(url));
    }

    @Test
    @Timeout(5)
    void aCallToAServerThatNeverAnswersEndsAtItsDeadline() throws IOException {
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            ManagedChannel channel = Connection.to("http://127.0.0.1:" + silent.getLocalPort())
                    .deadline(Duration.ofMillis(200)).open();
            var stub = StatusServiceGrpc.newBlockingStub(channel);
            var error = assertThrows(StatusRuntimeException.class,
                    () -> stub.getReadiness(GetReadinessRequest.getDefaultInstance()));
            assertEquals(Status.Code.DEADLINE_EXCEEDED, error.getStatus().getCode());
            assertEquals(Optional.empty(), Errors.reason(error));
            channel.shutdownNow();
        }
    }
}
