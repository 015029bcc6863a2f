/* Temporary AWS credentials from the machine itself: of an ECS task, or of an EC2 instance (IMDSv2 only). Requests built,
 * answers read. No I/O.
 * Sources: "Amazon ECS task IAM role", "Use the Instance Metadata Service" (IMDSv2), "Retrieve security credentials from
 * instance metadata" in the AWS documentation. */
#ifndef TONEGATE_GATEWAY_AWS_CREDENTIALS_H
#define TONEGATE_GATEWAY_AWS_CREDENTIALS_H

#include "gateway/connector.h"

#define AWS_CONTAINER_URL "http://169.254.170.2"
#define AWS_INSTANCE_URL  "http://169.254.169.254"
#define AWS_SESSION_BYTES 128 /* an IMDSv2 session token */

/* relative: what AWS_CONTAINER_CREDENTIALS_RELATIVE_URI says. ERR_SYNTAX. */
MUST_USE enum err aws_container_build(const char *relative, struct connector_request *request);

/* The three questions to an instance: a session token, the role's name, the role's credentials. */
MUST_USE enum err aws_session_build(struct connector_request *request);
MUST_USE enum err aws_session_read(const struct connector_answer *answer, char session[AWS_SESSION_BYTES]);
MUST_USE enum err aws_role_build(const char *session, struct connector_request *request);
MUST_USE enum err aws_role_read(const struct connector_answer *answer, char role[LIMIT_NAME_BYTES]);
MUST_USE enum err aws_instance_build(const char *session, const char *role,
                                     struct connector_request *request);

/* Of both: credentials becomes "ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN", as sigv4_key_read() wants it; *valid_s
 * how long they are good from now_s, at least 1. ERR_REFUSED, ERR_NOT_FOUND (no role), ERR_SYNTAX, ERR_LENGTH,
 * ERR_TIMEOUT (they are over), ERR_SYSTEM. */
MUST_USE enum err aws_credentials_read(const struct connector_answer *answer, int64_t now_s,
                                       struct secret *credentials, unsigned *valid_s);

#endif
