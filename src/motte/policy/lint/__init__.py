"""What compiles and is probably not meant, as warnings.

`motte.policy.lint.roles` looks at each role by itself, whenever a policy is read.
`motte.policy.lint.review` looks at how the roles meet, and at who is enrolled, for
`motte policy check`.
"""
