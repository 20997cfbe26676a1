package dev.countersign.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.JsonFormat;
import dev.countersign.v1.Rollout;
import dev.countersign.v1.RolloutState;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class EnrolmentTest {
    /** One of the shared vectors. */
    record Case(byte[] salt, String rolloutId, String key, int bucket, Map<String, Value> enrolled) {
        static Case of(Value value) {
            Map<String, Value> fields = value.getStructValue().getFieldsMap();
            return new Case(HexFormat.of().parseHex(fields.get("salt").getStringValue()),
                    fields.get("rollout_id").getStringValue(), fields.get("key").getStringValue(),
                    (int) fields.get("bucket").getNumberValue(),
                    fields.get("enrolled").getStructValue().getFieldsMap());
        }
    }

    static Stream<Case> cases() throws IOException {
        Struct.Builder vectors = Struct.newBuilder();
        JsonFormat.parser().merge(Files.readString(Path.of("../conformance/bucketing.json")), vectors);
        return vectors.getFieldsOrThrow("cases").getListValue().getValuesList().stream().map(Case::of);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void bucketsAreThoseOfTheSharedVectors(Case one) {
        assertEquals(one.bucket(), Enrolment.bucket(one.salt(), one.rolloutId(), one.key()));
    }

    static Stream<Case> saltedCases() throws IOException {
        return cases().filter(one -> one.salt().length > 0);
    }

    @ParameterizedTest
    @MethodSource("saltedCases")
    void enrolmentIsThatOfTheSharedVectors(Case one) {
        one.enrolled().forEach((percent, expected) -> {
            Enrolment enrolment = new Enrolment(Rollout.newBuilder().setRolloutId(one.rolloutId())
                    .setSalt(ByteString.copyFrom(one.salt())).setPercent(Integer.parseInt(percent)).build());
            assertEquals(Integer.parseInt(percent), enrolment.percent());
            assertEquals(expected.getBoolValue(), enrolment.isEnrolled(one.key()), percent);
        });
    }

    @Test
    void withoutTheSaltThePercentageIsToldAndNobodysSide() {
        Enrolment enrolment = new Enrolment(Rollout.newBuilder().setRolloutId("roll_1").setPercent(100).build());
        assertEquals(100, enrolment.percent());
        assertThrows(IllegalStateException.class, () -> enrolment.isEnrolled("alice"));
    }

    @Test
    void aRolloutThatWasRolledBackHoldsNobody() {
        Enrolment enrolment = new Enrolment(Rollout.newBuilder().setRolloutId("roll_1").setPercent(100)
                .setSalt(ByteString.copyFrom(new byte[32])).setState(RolloutState.ROLLOUT_STATE_ROLLED_BACK).build());
        assertEquals(0, enrolment.percent());
        assertFalse(enrolment.isEnrolled("alice"));
    }
}
