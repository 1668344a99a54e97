/**
 * What Lambda hands to a function behind an SQS queue, as far as this room reads it; `SQSEvent` and `Context` of
 * `@types/aws-lambda` fit. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
 */
export type SqsEvent = { readonly Records: readonly SqsRecord[] }

/** One message of the batch. */
export type SqsRecord = {
  readonly messageId: string
  readonly receiptHandle: string
  readonly body: string
  readonly attributes: {
    /** How often SQS has handed it out, this time included. */
    readonly ApproximateReceiveCount: string
    /** Unix ms. */
    readonly ApproximateFirstReceiveTimestamp?: string | undefined
    /** When SQS took it, unix ms. */
    readonly SentTimestamp?: string | undefined
    readonly MessageGroupId?: string | undefined
  }
  readonly messageAttributes?: { readonly [name: string]: { readonly stringValue?: string | undefined } | undefined }
  readonly eventSourceARN: string
}

/** The answer: SQS deletes every message of the batch but these. Needs `ReportBatchItemFailures` on the event source mapping. */
export type SqsBatchResponse = { batchItemFailures: { itemIdentifier: string }[] }

/** The part of Lambda's context that says how long the function may still run. */
export type LambdaContext = { getRemainingTimeInMillis: () => number }
