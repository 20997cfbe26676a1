// Command story plays the support assistant's story against a running server.
//
// A sponsor answers for a triage agent, which spawns a billing child. The child's refund is allowed, proven to the tool
// by a receipt and recorded; its attempt at another tool is denied; the whole chain is read back; a policy starts its
// way to everyone at 10 % and is rolled back.
//
// COUNTERSIGN_ADDR is the server's host:port (127.0.0.1:8080), COUNTERSIGN_API_KEY an operator's key; a dev server on
// loopback needs none.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"

	countersign "github.com/countersign/countersign-go"
	countersignv1 "github.com/countersign/countersign-go/countersign/v1"
)

var (
	serverURL    = "http://" + cmp.Or(os.Getenv("COUNTERSIGN_ADDR"), "127.0.0.1:8080")
	arguments    = map[string]any{"ticket": 4711, "amount_cents": 1250}
	toolResponse = map[string]any{"refunded": true}
)

func main() {
	// No deadline here: Connect gives one to every call.
	if err := story(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "story failed:", err, countersign.ErrorReason(err))
		os.Exit(1)
	}
	fmt.Println("story ok: go")
}

func story(ctx context.Context) error {
	operator, err := connect(os.Getenv("COUNTERSIGN_API_KEY"))
	if err != nil {
		return err
	}
	defer operator.Close()
	root, child, err := startAgents(ctx, operator)
	if err != nil {
		return err
	}
	agent, err := connect(child.GetToken())
	if err != nil {
		return err
	}
	defer agent.Close()
	policyDecisionID, err := refund(ctx, agent)
	if err != nil {
		return err
	}
	if err := refuseSearch(ctx, agent); err != nil {
		return err
	}
	instances := []string{root.GetAgentInstanceId(), child.GetAgentInstanceId()}
	if err := checkChain(ctx, operator, instances, policyDecisionID); err != nil {
		return err
	}
	return tryRollout(ctx, operator, root.GetAgentInstanceId())
}

func connect(token string) (*grpc.ClientConn, error) {
	return countersign.Connect(serverURL, countersign.Options{Token: token})
}

// startAgents: alice answers for a support assistant, which starts a narrower billing agent with its own credential.
func startAgents(ctx context.Context, operator *grpc.ClientConn) (
	*countersignv1.IssueCredentialResponse, *countersignv1.DelegateCredentialResponse, error,
) {
	root, err := countersignv1.NewCredentialServiceClient(operator).IssueCredential(ctx,
		&countersignv1.IssueCredentialRequest{
			SponsorId: "alice",
			Agent:     "support-assistant",
			Role:      "support",
			Tools:     []string{"billing", "search"},
			Purpose:   "triage ticket 4711",
		})
	if err != nil {
		return nil, nil, fmt.Errorf("IssueCredential: %w", err)
	}
	assistant, err := connect(root.GetToken())
	if err != nil {
		return nil, nil, err
	}
	defer assistant.Close()
	child, err := countersignv1.NewCredentialServiceClient(assistant).DelegateCredential(ctx,
		&countersignv1.DelegateCredentialRequest{Agent: "billing-agent", Tools: []string{"billing"}})
	if err != nil {
		return nil, nil, fmt.Errorf("DelegateCredential: %w", err)
	}
	if child.GetParentAgentId() != root.GetAgentInstanceId() {
		return nil, nil, fmt.Errorf("the child's parent is %q", child.GetParentAgentId())
	}
	return root, child, nil
}

// refund: the child asks for a refund, shows the receipt to the tool, and says how the call ended.
func refund(ctx context.Context, agent *grpc.ClientConn) (policyDecisionID string, err error) {
	requestHash, err := countersign.RequestHash(arguments)
	if err != nil {
		return "", err
	}
	responseHash, err := countersign.RequestHash(toolResponse)
	if err != nil {
		return "", err
	}
	answer, err := decide(ctx, agent, countersignv1.Effect_EFFECT_ALLOW, &countersignv1.DecideRequest{
		ToolId: "billing", Action: "refund", RequestHash: requestHash, WantReceipt: true,
	})
	if err != nil {
		return "", err
	}
	policyDecisionID = answer.GetPolicyDecisionId()
	if !strings.HasPrefix(policyDecisionID, "dec_") {
		return "", fmt.Errorf("the decision's id is %q, not dec_...", policyDecisionID)
	}
	if err := verifyReceipt(ctx, answer); err != nil {
		return "", fmt.Errorf("receipt: %w", err)
	}
	_, err = countersignv1.NewCustodyServiceClient(agent).RecordToolCall(ctx, &countersignv1.RecordToolCallRequest{
		PolicyDecisionId: policyDecisionID,
		Outcome:          countersignv1.ToolCallOutcome_TOOL_CALL_OUTCOME_SUCCESS,
		ResponseHash:     responseHash,
	})
	if err != nil {
		return "", fmt.Errorf("RecordToolCall: %w", err)
	}
	return policyDecisionID, nil
}

// refuseSearch: the child tries a tool that it was not given.
func refuseSearch(ctx context.Context, agent *grpc.ClientConn) error {
	_, err := decide(ctx, agent, countersignv1.Effect_EFFECT_DENY,
		&countersignv1.DecideRequest{ToolId: "search", Action: "delete"})
	return err
}

func decide(
	ctx context.Context, agent *grpc.ClientConn, expected countersignv1.Effect, request *countersignv1.DecideRequest,
) (*countersignv1.DecideResponse, error) {
	answer, err := countersignv1.NewDecisionServiceClient(agent).Decide(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("Decide: %w", err)
	}
	if answer.GetEffect() != expected {
		return nil, fmt.Errorf("Decide answered %v, expected %v: %s %s",
			answer.GetEffect(), expected, answer.GetReason().GetMessage(), answer.GetReason().GetRemedy())
	}
	return answer, nil
}

type receiptClaims struct {
	jwt.RegisteredClaims
	PolicyDecisionID string `json:"policy_decision_id"`
}

// verifyReceipt is what the billing tool does before it acts: it needs the server's public keys, and no call to the server.
func verifyReceipt(ctx context.Context, answer *countersignv1.DecideResponse) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // keyfunc refreshes the keys until its context ends.
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{serverURL + "/.well-known/jwks.json"})
	if err != nil {
		return err
	}
	var claims receiptClaims
	receipt, err := jwt.ParseWithClaims(answer.GetReceipt(), &claims, keys.Keyfunc,
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience("billing"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(5*time.Second))
	if err != nil {
		return err
	}
	if typ := receipt.Header["typ"]; typ != "countersign-receipt+jwt" {
		return fmt.Errorf("its typ is %v", typ)
	}
	if claims.PolicyDecisionID != answer.GetPolicyDecisionId() {
		return fmt.Errorf("it names the decision %q, not %q", claims.PolicyDecisionID, answer.GetPolicyDecisionId())
	}
	return nil
}

// checkChain reads, from the decision alone, who ran, for whom, what was decided and how it ended.
func checkChain(ctx context.Context, operator *grpc.ClientConn, instances []string, policyDecisionID string) error {
	response, err := countersignv1.NewCustodyServiceClient(operator).GetCustodyChain(ctx,
		&countersignv1.GetCustodyChainRequest{
			Subject: &countersignv1.GetCustodyChainRequest_PolicyDecisionId{PolicyDecisionId: policyDecisionID},
		})
	if err != nil {
		return fmt.Errorf("GetCustodyChain: %w", err)
	}
	chain := response.GetChain()
	missing := map[string]bool{"sponsor alice": chain.GetSponsor().GetSponsorId() != "alice"}
	for _, id := range instances {
		missing["instance "+id] = true
	}
	outcome := policyDecisionID + " with outcome SUCCESS"
	kinds := []countersignv1.EventKind{
		countersignv1.EventKind_EVENT_KIND_DECISION, countersignv1.EventKind_EVENT_KIND_TOOL_CALL,
	}
	missing[outcome], missing[kinds[0].String()], missing[kinds[1].String()] = true, true, true

	for _, instance := range chain.GetInstances() {
		missing["instance "+instance.GetAgentInstanceId()] = false
	}
	for _, decision := range chain.GetDecisions() {
		if decision.GetPolicyDecisionId() == policyDecisionID &&
			decision.GetOutcome() == countersignv1.ToolCallOutcome_TOOL_CALL_OUTCOME_SUCCESS {
			missing[outcome] = false
		}
	}
	for _, event := range chain.GetEvents() {
		if event.GetPolicyDecisionId() == policyDecisionID {
			missing[event.GetKind().String()] = false
		}
	}
	for what, is := range missing {
		if is {
			return fmt.Errorf("the custody chain lacks %s", what)
		}
	}
	return nil
}
