"""SDKs of other languages, older ones, and frameworks on a real gateway: `make gateway-sdks`."""
