/**
 * Java client of Countersign.
 *
 * <p>{@link dev.countersign.client.Connection} makes a channel for the generated stubs in {@code dev.countersign.v1},
 * {@link dev.countersign.client.Enrolment} answers who is inside a rollout, and
 * {@link dev.countersign.client.Errors} says why the server refused a call.
 */
package dev.countersign.client;
