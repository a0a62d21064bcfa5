import boto3
from botocore.stub import Stubber

client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
with Stubber(client) as stub:
    stub.add_response("list_buckets", {"Buckets": [{"Name": "x"}]})
    print(client.list_buckets()["Buckets"][0]["Name"])
print(client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}).split("?")[0])
