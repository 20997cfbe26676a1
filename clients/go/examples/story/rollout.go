package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	countersign "github.com/countersign/countersign-go"
	countersignv1 "github.com/countersign/countersign-go/countersign/v1"
)

// document is a policy; the line before it makes it a new version.
const document = `# %d
rules:
  - id: allow-support-billing
    role: support
    tool: billing
    allowed_actions: [charge, refund]
`

// tryRollout: a new policy version begins at 10 % and is rolled back, unless the open rollout is not ours.
func tryRollout(ctx context.Context, operator *grpc.ClientConn, rootInstanceID string) error {
	created, err := countersignv1.NewPolicyServiceClient(operator).CreatePolicy(ctx,
		&countersignv1.CreatePolicyRequest{Document: fmt.Sprintf(document, time.Now().UnixNano()), Reason: "story"})
	if err != nil {
		return fmt.Errorf("CreatePolicy: %w", err)
	}
	rollouts := countersignv1.NewRolloutServiceClient(operator)
	rolloutID, ours, err := startOrFindRollout(ctx, rollouts, created.GetPolicy().GetVersion())
	if err != nil {
		return err
	}
	read, err := rollouts.GetRollout(ctx, &countersignv1.GetRolloutRequest{RolloutId: rolloutID})
	if err != nil {
		return fmt.Errorf("GetRollout: %w", err)
	}
	enrolment := countersign.NewEnrolment(read.GetRollout())
	enrolled, err := enrolment.IsEnrolled(rootInstanceID)
	if err != nil {
		return err
	}
	fmt.Printf("rollout %s: percent=%d is_enrolled=%v\n", rolloutID, enrolment.Percent(), enrolled)
	if !ours {
		return nil
	}
	if enrolment.Percent() != 10 {
		return fmt.Errorf("the rollout is at %d %%, not at 10 %%", enrolment.Percent())
	}
	_, err = rollouts.RollbackRollout(ctx,
		&countersignv1.RollbackRolloutRequest{RolloutId: rolloutID, Reason: "story over"})
	if err != nil {
		return fmt.Errorf("RollbackRollout: %w", err)
	}
	return nil
}

// startOrFindRollout is the rollout that this program started, or the one that is open already; and whether it is this
// program's.
func startOrFindRollout(
	ctx context.Context, rollouts countersignv1.RolloutServiceClient, candidate string,
) (rolloutID string, ours bool, err error) {
	percent := int32(10)
	for range 10 {
		started, err := rollouts.StartRollout(ctx, &countersignv1.StartRolloutRequest{
			Candidate: candidate, Percent: &percent, Reason: "story",
		})
		if err == nil {
			return started.GetRollout().GetRolloutId(), true, nil
		}
		if status.Code(err) != codes.FailedPrecondition || countersign.ErrorReason(err) != "ROLLOUT_OPEN" {
			return "", false, fmt.Errorf("StartRollout: %w", err)
		}
		listed, err := rollouts.ListRollouts(ctx, &countersignv1.ListRolloutsRequest{
			State: countersignv1.RolloutState_ROLLOUT_STATE_RUNNING,
		})
		if err != nil {
			return "", false, fmt.Errorf("ListRollouts: %w", err)
		}
		if running := listed.GetRollouts(); len(running) > 0 {
			return running[0].GetRolloutId(), false, nil
		}
		// It ended between the two calls: ours may start now.
		time.Sleep(200 * time.Millisecond)
	}
	return "", false, errors.New("a rollout is open and none is RUNNING; is one paused?")
}
