"""
Who fetches maildrops: a POP3 client that resumes.
"""
