package countersign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	countersignv1 "github.com/countersign/countersign-go/countersign/v1"
)

// buckets is how many there are; a bucket is a hundredth of a percent.
const buckets = 10_000

// Bucket is the bucket of key, 0 to 9999.
//
// It is the first eight bytes of HMAC-SHA-256(salt, len(rolloutID) || rolloutID || len(key) || key), lengths in bytes
// as big-endian u32, read as a big-endian u64 and scaled to 10000. The salt is a secret: who knows it can choose a key
// on the side they like. Every language meets the same cases, clients/conformance/bucketing.json.
func Bucket(salt []byte, rolloutID, key string) int32 {
	mac := hmac.New(sha256.New, salt)
	for _, part := range []string{rolloutID, key} {
		// The length keeps ("ab", "c") and ("a", "bc") apart. A hash never fails to take bytes.
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		mac.Write([]byte(part))
	}
	scaled, _ := bits.Mul64(binary.BigEndian.Uint64(mac.Sum(nil)), buckets)
	return int32(scaled)
}

// Enrolment says who is inside a rollout, as one message from the server describes it. Read it again to see a change.
//
// The rollout's scope (tools, roles, sponsors, labels) is not looked at: the answer is for callers within it.
type Enrolment struct {
	rollout *countersignv1.Rollout
}

// NewEnrolment reads rollout, which must not change afterwards.
func NewEnrolment(rollout *countersignv1.Rollout) Enrolment {
	return Enrolment{rollout: rollout}
}

// Percent is the share of callers inside, 0 to 100.
func (e Enrolment) Percent() int32 {
	// A rollout that was rolled back keeps the percentage it had; it enrols no one.
	if e.rollout.GetState() == countersignv1.RolloutState_ROLLOUT_STATE_ROLLED_BACK {
		return 0
	}
	return e.rollout.GetPercent()
}

// IsEnrolled says whether the caller with this sticky key (by default its root instance's id) is inside.
//
// It is an error where the message carries no salt: the server shows it only to operators with the role gate,
// policy-admin or auditor.
func (e Enrolment) IsEnrolled(key string) (bool, error) {
	if len(e.rollout.GetSalt()) == 0 {
		return false, fmt.Errorf("rollout %q came without its salt, so its sides cannot be computed; read it as an "+
			"operator with the role gate, policy-admin or auditor", e.rollout.GetRolloutId())
	}
	return Bucket(e.rollout.GetSalt(), e.rollout.GetRolloutId(), key) < e.Percent()*100, nil
}
