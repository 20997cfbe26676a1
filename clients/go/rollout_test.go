package countersign

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	countersignv1 "github.com/countersign/countersign-go/countersign/v1"
)

type vector struct {
	Salt      string          `json:"salt"`
	RolloutID string          `json:"rollout_id"`
	Key       string          `json:"key"`
	Bucket    int32           `json:"bucket"`
	Enrolled  map[string]bool `json:"enrolled"`
}

func vectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("../conformance/bucketing.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []vector `json:"cases"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no cases")
	}
	return file.Cases
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	bytes, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestBucketsAreThoseOfTheSharedVectors(t *testing.T) {
	for _, v := range vectors(t) {
		if got := Bucket(unhex(t, v.Salt), v.RolloutID, v.Key); got != v.Bucket {
			t.Errorf("bucket %d, expected %d: %+v", got, v.Bucket, v)
		}
	}
}

func TestEnrolmentIsThatOfTheSharedVectors(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Salt == "" {
			continue
		}
		for text, expected := range v.Enrolled {
			percent, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			enrolment := NewEnrolment(&countersignv1.Rollout{
				RolloutId: v.RolloutID, Salt: unhex(t, v.Salt), Percent: int32(percent),
			})
			if got, err := enrolment.IsEnrolled(v.Key); err != nil || got != expected {
				t.Errorf("enrolled %v (%v) at %d %%, expected %v: %+v", got, err, percent, expected, v)
			}
		}
	}
}

func TestWithoutTheSaltThePercentageIsToldAndNobodysSide(t *testing.T) {
	enrolment := NewEnrolment(&countersignv1.Rollout{RolloutId: "roll_1", Percent: 100})
	if enrolment.Percent() != 100 {
		t.Errorf("percent %d", enrolment.Percent())
	}
	if _, err := enrolment.IsEnrolled("alice"); err == nil {
		t.Error("told a side without the salt")
	}
}

func TestARolloutThatWasRolledBackHoldsNobody(t *testing.T) {
	enrolment := NewEnrolment(&countersignv1.Rollout{
		RolloutId: "roll_1", Salt: make([]byte, 32), Percent: 100,
		State: countersignv1.RolloutState_ROLLOUT_STATE_ROLLED_BACK,
	})
	if enrolled, err := enrolment.IsEnrolled("alice"); err != nil || enrolled || enrolment.Percent() != 0 {
		t.Errorf("percent %d, enrolled %v, %v", enrolment.Percent(), enrolled, err)
	}
}
