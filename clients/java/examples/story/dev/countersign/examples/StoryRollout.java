package dev.countersign.examples;

import dev.countersign.client.Enrolment;
import dev.countersign.client.Errors;
import dev.countersign.v1.CreatePolicyRequest;
import dev.countersign.v1.GetRolloutRequest;
import dev.countersign.v1.ListRolloutsRequest;
import dev.countersign.v1.PolicyServiceGrpc;
import dev.countersign.v1.RollbackRolloutRequest;
import dev.countersign.v1.RolloutServiceGrpc;
import dev.countersign.v1.RolloutServiceGrpc.RolloutServiceBlockingStub;
import dev.countersign.v1.RolloutState;
import dev.countersign.v1.StartRolloutRequest;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Optional;
import java.util.UUID;

/** The story's last part: a policy on its way to everyone. */
final class StoryRollout {
    private static final String DOCUMENT = """
            # %s
            rules:
              - id: allow-support-billing
                role: support
                tool: billing
                allowed_actions: [charge, refund]
            """;

    /** A rollout, and whether this program started it. */
    private record Found(String rolloutId, boolean ours) {}

    private StoryRollout() {}

    /** A new policy version begins at 10 % and is rolled back, unless the open rollout is not ours. */
    static void play(ManagedChannel operator, String rootInstanceId) throws InterruptedException {
        String candidate = PolicyServiceGrpc.newBlockingStub(operator).createPolicy(CreatePolicyRequest.newBuilder()
                .setDocument(DOCUMENT.formatted(UUID.randomUUID())).setReason("story").build())
                .getPolicy().getVersion();
        RolloutServiceBlockingStub rollouts = RolloutServiceGrpc.newBlockingStub(operator);
        Found found = startOrFind(rollouts, candidate);
        Enrolment enrolment = new Enrolment(rollouts.getRollout(
                GetRolloutRequest.newBuilder().setRolloutId(found.rolloutId()).build()).getRollout());
        System.out.println("rollout " + found.rolloutId() + ": percent=" + enrolment.percent() + " isEnrolled="
                + enrolment.isEnrolled(rootInstanceId));
        if (found.ours()) {
            Story.expect(enrolment.percent() == 10, "the rollout is at " + enrolment.percent() + " %, not at 10 %");
            rollouts.rollbackRollout(RollbackRolloutRequest.newBuilder().setRolloutId(found.rolloutId())
                    .setReason("story over").build());
        }
    }

    private static Found startOrFind(RolloutServiceBlockingStub rollouts, String candidate)
            throws InterruptedException {
        for (int attempt = 0; attempt < 10; attempt++) {
            Optional<String> started = start(rollouts, candidate);
            if (started.isPresent()) {
                return new Found(started.get(), true);
            }
            var running = rollouts.listRollouts(ListRolloutsRequest.newBuilder()
                    .setState(RolloutState.ROLLOUT_STATE_RUNNING).build()).getRolloutsList();
            if (!running.isEmpty()) {
                return new Found(running.get(0).getRolloutId(), false);
            }
            // It ended between the two calls: ours may start now.
            Thread.sleep(200);
        }
        throw new StoryException("a rollout is open and none is RUNNING; is one paused?");
    }

    /** The rollout's id; empty where another one is open. */
    private static Optional<String> start(RolloutServiceBlockingStub rollouts, String candidate) {
        try {
            return Optional.of(rollouts.startRollout(StartRolloutRequest.newBuilder().setCandidate(candidate)
                    .setPercent(10).setReason("story").build()).getRollout().getRolloutId());
        } catch (StatusRuntimeException error) {
            if (error.getStatus().getCode() == Status.Code.FAILED_PRECONDITION
                    && Errors.reason(error).equals(Optional.of("ROLLOUT_OPEN"))) {
                return Optional.empty();
            }
            throw error;
        }
    }
}
