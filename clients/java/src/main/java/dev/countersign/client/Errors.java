package dev.countersign.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.protobuf.StatusProto;
import java.util.Optional;

/** Why the server refused a call. */
public final class Errors {
    /** The domain of the ErrorInfo that the server's refusals carry. */
    private static final String DOMAIN = "countersign";

    private Errors() {}

    /**
     * The name of the ErrorReason that the server gave, without its prefix, such as {@code ROLLOUT_OPEN}.
     *
     * <p>Empty where the error did not come from a Countersign server: no connection, a deadline passed on this side, a
     * proxy in between. Such an error is no answer, and nothing may be taken as allowed.
     */
    public static Optional<String> reason(Throwable error) {
        Status status = StatusProto.fromThrowable(error);
        if (status == null) {
            return Optional.empty();
        }
        return status.getDetailsList().stream().flatMap(detail -> errorInfo(detail).stream())
                .filter(info -> info.getDomain().equals(DOMAIN)).map(ErrorInfo::getReason).findFirst();
    }

    private static Optional<ErrorInfo> errorInfo(Any detail) {
        try {
            return detail.is(ErrorInfo.class) ? Optional.of(detail.unpack(ErrorInfo.class)) : Optional.empty();
        } catch (InvalidProtocolBufferException e) {
            return Optional.empty();
        }
    }
}
