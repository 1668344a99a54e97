/** The namespace of the metrics in CloudWatch. */
export const METRICS_NAMESPACE = 'EnigmaRelay'

type Name = 'Parked' | 'ParkedNow' | 'Drained' | 'Expiring' | 'Missing' | 'MissingNow'

/** Adds to a counter in CloudWatch. Writes nothing for 0, which would cost a log line. */
export function countMetric(name: Name, value: number, functionName: string | undefined): void {
  if (value !== 0) writeMetric(name, value, functionName)
}

/**
 * Writes a metric for CloudWatch as a log line: the embedded metric format needs no request and no permission. Does nothing without the name of
 * a function (outside Lambda). Source: "Specification: Embedded metric format" in the CloudWatch user guide.
 */
export function writeMetric(name: Name, value: number, FunctionName: string | undefined): void {
  if (FunctionName === undefined) return
  const CloudWatchMetrics = [
    { Namespace: METRICS_NAMESPACE, Dimensions: [['FunctionName']], Metrics: [{ Name: name, Unit: 'Count' }] },
  ]
  // Lambda's `console` puts a timestamp in front of the line, and CloudWatch would not recognise the metric.
  process.stdout.write(
    `${JSON.stringify({ _aws: { Timestamp: Date.now(), CloudWatchMetrics }, FunctionName, [name]: value })}\n`,
  )
}
