package dev.countersign.client;

import dev.countersign.v1.Rollout;
import dev.countersign.v1.RolloutState;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Who is inside a rollout, as one message from the server describes it. Read it again to see a change.
 *
 * <p>The rollout's scope (tools, roles, sponsors, labels) is not looked at: the answer is for callers within it.
 */
public final class Enrolment {
    /** How many buckets there are; a bucket is a hundredth of a percent. */
    private static final BigInteger BUCKETS = BigInteger.valueOf(10_000);

    private final Rollout rollout;

    /** Reads {@code rollout}. */
    public Enrolment(Rollout rollout) {
        this.rollout = rollout;
    }

    /** The share of callers inside, 0 to 100. */
    public int percent() {
        // A rollout that was rolled back keeps the percentage it had; it enrols no one.
        return rollout.getState() == RolloutState.ROLLOUT_STATE_ROLLED_BACK ? 0 : rollout.getPercent();
    }

    /**
     * Whether the caller with this sticky key (by default its root instance's id) is inside.
     *
     * @throws IllegalStateException where the message carries no salt: the server shows it only to operators with the
     *     role gate, policy-admin or auditor
     */
    public boolean isEnrolled(String key) {
        if (rollout.getSalt().isEmpty()) {
            throw new IllegalStateException("rollout " + rollout.getRolloutId() + " came without its salt, so its "
                    + "sides cannot be computed; read it as an operator with the role gate, policy-admin or auditor");
        }
        return bucket(rollout.getSalt().toByteArray(), rollout.getRolloutId(), key) < percent() * 100;
    }

    /**
     * The bucket of {@code key}, 0 to 9999.
     *
     * <p>The first eight bytes of HMAC-SHA-256(salt, len(rolloutId) || rolloutId || len(key) || key), lengths in bytes
     * as big-endian u32, read as a big-endian u64 and scaled to 10000. The salt is a secret: who knows it can choose a
     * key on the side they like. Every language meets the same cases, clients/conformance/bucketing.json.
     */
    public static int bucket(byte[] salt, String rolloutId, String key) {
        Mac mac = hmacSha256(salt);
        for (String part : new String[] {rolloutId, key}) {
            byte[] bytes = part.getBytes(StandardCharsets.UTF_8);
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            mac.update(ByteBuffer.allocate(Integer.BYTES).putInt(bytes.length).array());
            mac.update(bytes);
        }
        BigInteger head = new BigInteger(1, Arrays.copyOf(mac.doFinal(), Long.BYTES));
        return head.multiply(BUCKETS).shiftRight(Long.SIZE).intValueExact();
    }

    private static Mac hmacSha256(byte[] key) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            // Java refuses an empty key. HMAC pads keys with zeros, so one zero byte is the same key.
            mac.init(new SecretKeySpec(key.length == 0 ? new byte[1] : key, mac.getAlgorithm()));
            return mac;
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java platform must have HmacSHA256", e);
        }
    }
}
