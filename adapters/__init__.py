"""One module or folder per chat platform; payloads become requests, notices become posts."""
