// Package countersign is the Go client of Countersign.
//
// Connect makes a connection for the generated clients in countersign/v1, Enrolment answers who is inside a rollout,
// and ErrorReason says why the server refused a call.
package countersign
