import grpc

print(grpc.StatusCode.OK, grpc.Compression.Gzip, grpc.method_handlers_generic_handler("s", {}).service_name())
channel = grpc.insecure_channel("127.0.0.1:9")
print(channel.unary_unary("/s/m") is not None)
channel.close()
