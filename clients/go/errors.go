package countersign

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// domain is that of the ErrorInfo that the server's refusals carry.
const domain = "countersign"

// ErrorReason is the name of the ErrorReason that the server gave, without its prefix, such as ROLLOUT_OPEN.
//
// It is empty where the error did not come from a Countersign server: no connection, a deadline passed on this side, a
// proxy in between. Such an error is no answer, and nothing may be taken as allowed.
func ErrorReason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return info.GetReason()
		}
	}
	return ""
}
