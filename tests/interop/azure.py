"""Makes the container `data` in an Azurite that runs at the address given: python azure.py http://127.0.0.1:PORT

Signed with the account and key that come with every Azurite.
"""

import base64
import email.utils
import hashlib
import hmac
import sys
import urllib.request

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def main():
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{ACCOUNT}/{ACCOUNT}/data\nrestype:container"
    signed = "PUT" + "\n" * 12 + named + resource
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    headers["Content-Length"] = "0"
    request = urllib.request.Request(f"{sys.argv[1]}/{ACCOUNT}/data?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(request).close()


if __name__ == "__main__":
    main()
