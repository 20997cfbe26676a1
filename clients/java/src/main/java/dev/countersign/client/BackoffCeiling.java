package dev.countersign.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Makes a channel try again after 5 s at the latest.
 *
 * <p>grpc-java waits up to two minutes between attempts and has no setting for it: a gate that finds its server again
 * that late has denied for two minutes. It can be told to start over, though.
 */
final class BackoffCeiling {
    private static final long SECONDS = 5;
    private static final ScheduledExecutorService TIMER = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "countersign-reconnect");
        thread.setDaemon(true);
        return thread;
    });

    private final ManagedChannel channel;
    private ScheduledFuture<?> pending;

    private BackoffCeiling(ManagedChannel channel) {
        this.channel = channel;
    }

    /** Watches {@code channel} until it shuts down. */
    static void on(ManagedChannel channel) {
        new BackoffCeiling(channel).stateChanged();
    }

    private synchronized void stateChanged() {
        ConnectivityState state = channel.getState(false);
        if (state == ConnectivityState.SHUTDOWN) {
            return;
        }
        if (state == ConnectivityState.TRANSIENT_FAILURE && (pending == null || pending.isDone())) {
            pending = TIMER.schedule(this::startOver, SECONDS, TimeUnit.SECONDS);
        }
        channel.notifyWhenStateChanged(state, this::stateChanged);
    }

    private synchronized void startOver() {
        if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
            channel.resetConnectBackoff();
            pending = TIMER.schedule(this::startOver, SECONDS, TimeUnit.SECONDS);
        }
    }
}
