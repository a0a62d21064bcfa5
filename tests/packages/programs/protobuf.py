from google.protobuf import json_format, struct_pb2, timestamp_pb2

s = struct_pb2.Struct()
s.update({"a": 1, "b": ["x", True]})
again = struct_pb2.Struct.FromString(s.SerializeToString())
print(sorted(json_format.MessageToDict(again).items()), timestamp_pb2.Timestamp(seconds=5).SerializeToString().hex())
