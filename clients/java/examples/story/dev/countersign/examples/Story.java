package dev.countersign.examples;

import com.google.protobuf.ByteString;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import dev.countersign.client.CanonicalArguments;
import dev.countersign.client.Connection;
import dev.countersign.client.Errors;
import dev.countersign.v1.CredentialServiceGrpc;
import dev.countersign.v1.CustodyServiceGrpc;
import dev.countersign.v1.DecideRequest;
import dev.countersign.v1.DecideResponse;
import dev.countersign.v1.DecisionServiceGrpc;
import dev.countersign.v1.DelegateCredentialRequest;
import dev.countersign.v1.DelegateCredentialResponse;
import dev.countersign.v1.Effect;
import dev.countersign.v1.EventKind;
import dev.countersign.v1.GetCustodyChainRequest;
import dev.countersign.v1.IssueCredentialRequest;
import dev.countersign.v1.IssueCredentialResponse;
import dev.countersign.v1.RecordToolCallRequest;
import dev.countersign.v1.ToolCallOutcome;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.URI;
import java.text.ParseException;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The support assistant's story, against a running server.
 *
 * <p>A sponsor answers for a triage agent, which spawns a billing child. The child's refund is allowed, proven to the
 * tool by a receipt and recorded; its attempt at another tool is denied; the whole chain is read back; a policy starts
 * its way to everyone at 10 % and is rolled back.
 *
 * <p>COUNTERSIGN_ADDR is the server's host:port (127.0.0.1:8080), COUNTERSIGN_API_KEY an operator's key; a dev server
 * on loopback needs none.
 */
public final class Story {
    private static final String URL = "http://" + env("COUNTERSIGN_ADDR", "127.0.0.1:8080");
    private static final ByteString REQUEST_HASH = hash(Map.of("ticket", 4711, "amount_cents", 1250));
    private static final ByteString RESPONSE_HASH = hash(Map.of("refunded", true));

    private Story() {}

    /** Plays the story; exits with 1 where the server does not do what it expects. */
    public static void main(String[] args) throws Exception {
        try {
            play();
        } catch (StatusRuntimeException error) {
            fail(error.getStatus().getCode() + " " + Errors.reason(error).orElse("") + ": "
                    + error.getStatus().getDescription());
        } catch (StoryException error) {
            fail(error.getMessage());
        }
        System.out.println("story ok: java");
        System.exit(0);
    }

    private static void play() throws Exception {
        ManagedChannel operator = connect(env("COUNTERSIGN_API_KEY", ""));
        IssueCredentialResponse root = CredentialServiceGrpc.newBlockingStub(operator)
                .issueCredential(IssueCredentialRequest.newBuilder().setSponsorId("alice").setAgent("support-assistant")
                        .setRole("support").addAllTools(List.of("billing", "search")).setPurpose("triage ticket 4711")
                        .build());
        DelegateCredentialResponse child = delegate(root);
        ManagedChannel agent = connect(child.getToken());
        String policyDecisionId = refund(agent);
        refuseSearch(agent);
        agent.shutdownNow();
        checkChain(operator, Set.of(root.getAgentInstanceId(), child.getAgentInstanceId()), policyDecisionId);
        StoryRollout.play(operator, root.getAgentInstanceId());
        operator.shutdownNow();
    }

    /** The support assistant starts a narrower billing agent with its own credential. */
    private static DelegateCredentialResponse delegate(IssueCredentialResponse root) {
        ManagedChannel assistant = connect(root.getToken());
        DelegateCredentialResponse child = CredentialServiceGrpc.newBlockingStub(assistant).delegateCredential(
                DelegateCredentialRequest.newBuilder().setAgent("billing-agent").addTools("billing").build());
        assistant.shutdownNow();
        expect(child.getParentAgentId().equals(root.getAgentInstanceId()),
                "the child's parent is " + child.getParentAgentId());
        return child;
    }

    /** The child asks for a refund, shows the receipt to the tool, and says how the call ended. */
    private static String refund(ManagedChannel agent) throws Exception {
        DecideResponse answer = decide(agent, Effect.EFFECT_ALLOW, DecideRequest.newBuilder().setToolId("billing")
                .setAction("refund").setRequestHash(REQUEST_HASH).setWantReceipt(true).build());
        String policyDecisionId = answer.getPolicyDecisionId();
        expect(policyDecisionId.startsWith("dec_"), "the decision's id is " + policyDecisionId + ", not dec_...");
        verifyReceipt(answer.getReceipt(), policyDecisionId);
        CustodyServiceGrpc.newBlockingStub(agent).recordToolCall(RecordToolCallRequest.newBuilder()
                .setPolicyDecisionId(policyDecisionId).setOutcome(ToolCallOutcome.TOOL_CALL_OUTCOME_SUCCESS)
                .setResponseHash(RESPONSE_HASH).build());
        return policyDecisionId;
    }

    /** The child tries a tool that it was not given. */
    private static void refuseSearch(ManagedChannel agent) {
        decide(agent, Effect.EFFECT_DENY,
                DecideRequest.newBuilder().setToolId("search").setAction("delete").build());
    }

    private static DecideResponse decide(ManagedChannel agent, Effect expected, DecideRequest request) {
        DecideResponse answer = DecisionServiceGrpc.newBlockingStub(agent).decide(request);
        expect(answer.getEffect() == expected, "Decide answered " + answer.getEffect() + ", expected " + expected + ": "
                + answer.getReason().getMessage() + " " + answer.getReason().getRemedy());
        return answer;
    }

    /** What the billing tool does before it acts: it needs the server's public keys, and no call to the server. */
    private static void verifyReceipt(String receipt, String policyDecisionId) throws IOException {
        var keys = JWKSourceBuilder.create(URI.create(URL + "/.well-known/jwks.json").toURL()).build();
        var claims = new DefaultJWTClaimsVerifier<SecurityContext>("billing", null, Set.of("iss", "exp", "iat", "jti"));
        claims.setMaxClockSkew(5);
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(
                new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("countersign-receipt+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, keys));
        processor.setJWTClaimsSetVerifier(claims);
        try {
            Object named = processor.process(receipt, null).getClaim("policy_decision_id");
            expect(policyDecisionId.equals(named), "the receipt names the decision " + named);
        } catch (ParseException | BadJOSEException | JOSEException error) {
            throw new StoryException("the receipt does not hold: " + error.getMessage());
        }
    }

    /** From the decision alone: who ran, for whom, what was decided and how it ended. */
    private static void checkChain(ManagedChannel operator, Set<String> instances, String policyDecisionId) {
        var chain = CustodyServiceGrpc.newBlockingStub(operator).getCustodyChain(
                GetCustodyChainRequest.newBuilder().setPolicyDecisionId(policyDecisionId).build()).getChain();
        expect(chain.getSponsor().getSponsorId().equals("alice"),
                "the chain's sponsor is " + chain.getSponsor().getSponsorId());
        for (String id : instances) {
            expect(chain.getInstancesList().stream().anyMatch(one -> one.getAgentInstanceId().equals(id)),
                    "the chain lacks the instance " + id);
        }
        expect(chain.getDecisionsList().stream().anyMatch(one -> one.getPolicyDecisionId().equals(policyDecisionId)
                && one.getOutcome() == ToolCallOutcome.TOOL_CALL_OUTCOME_SUCCESS),
                "the chain lacks " + policyDecisionId + ", or its outcome");
        for (EventKind kind : List.of(EventKind.EVENT_KIND_DECISION, EventKind.EVENT_KIND_TOOL_CALL)) {
            expect(chain.getEventsList().stream().anyMatch(
                    one -> one.getKind() == kind && one.getPolicyDecisionId().equals(policyDecisionId)),
                    "the chain lacks the event " + kind + " of " + policyDecisionId);
        }
    }

    private static ManagedChannel connect(String token) {
        return Connection.to(URL).token(token).open();
    }

    private static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    private static ByteString hash(Map<String, ?> arguments) {
        return ByteString.copyFrom(CanonicalArguments.requestHash(arguments));
    }

    static void expect(boolean holds, String otherwise) {
        if (!holds) {
            throw new StoryException(otherwise);
        }
    }

    private static void fail(String why) {
        System.err.println("story failed: " + why);
        System.exit(1);
    }
}
