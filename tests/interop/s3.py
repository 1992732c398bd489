"""An S3 server on this machine, and what lies in it.

Prints its address. Then reads commands, one per line, words separated by tabs, and answers each with one line of JSON:

    put KEY FILE      puts a file
    get KEY FILE      writes an object to a file
    list              keys of all objects
    uploads           keys of uploads that are not ended
    remove KEY        removes an object

Ends with its standard input.
"""

import json
import sys

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "data"


def main():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    print(address, flush=True)
    for line in sys.stdin:
        command, *words = line.rstrip("\n").split("\t")
        if command == "put":
            client.upload_file(words[1], BUCKET, words[0])
            answer = True
        elif command == "get":
            client.download_file(BUCKET, words[0], words[1])
            answer = True
        elif command == "remove":
            client.delete_object(Bucket=BUCKET, Key=words[0])
            answer = True
        elif command == "uploads":
            answer = [upload["Key"] for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
        elif command == "list":
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
            answer = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        else:
            raise SystemExit(f"no command: {command}")
        print(json.dumps(answer), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
