/** Where CloudWatch shows them. */
export const METRICS_NAMESPACE = 'EnigmaRelay'

/**
 * Counts something in CloudWatch, by a line of the log: the embedded metric format takes no request and no permission. Without the name of
 * a function (outside Lambda) it does nothing. Source: "Specification: Embedded metric format" in the CloudWatch user guide.
 */
export function countMetric(
  name: 'Parked' | 'Drained' | 'Expiring',
  value: number,
  FunctionName: string | undefined,
): void {
  if (value === 0 || FunctionName === undefined) return
  const CloudWatchMetrics = [
    { Namespace: METRICS_NAMESPACE, Dimensions: [['FunctionName']], Metrics: [{ Name: name, Unit: 'Count' }] },
  ]
  // The console would put a time before it, and CloudWatch would not see it.
  process.stdout.write(
    `${JSON.stringify({ _aws: { Timestamp: Date.now(), CloudWatchMetrics }, FunctionName, [name]: value })}\n`,
  )
}
