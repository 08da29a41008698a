"""Facts about AWS that are data, dated, and compared with botocore in tests."""
