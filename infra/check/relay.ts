import { queueName, RELAY_ROUTES } from '../../src/protocol/index.ts'
import { find, isRecord, type Properties, type Template } from './template.ts'

/** Whether dead letters are looked for, and whether replays know their queues. */
export function* checkReplays(template: Template, prefix: string): Generator<string> {
  const name = prefix + RELAY_ROUTES.replay.name
  for (const one of [name, `${prefix}api`]) {
    const [, lambda] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === one) ?? []
    if (!JSON.stringify(lambda?.['Environment'] ?? {}).includes(`"ENIGMA_QUEUE_PREFIX":"${prefix}"`))
      yield `${one} does not know the queues: it has no ENIGMA_QUEUE_PREFIX`
  }
  const [id = ''] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === name) ?? []
  const isMeant = (value: unknown) => JSON.stringify(value ?? '').includes(`"${id}"`)
  const [, rule] = find(template, 'AWS::Events::Rule', (p) => isMeant(p['Targets'])) ?? []
  if (rule === undefined || rule['State'] !== 'ENABLED')
    yield `${name} has no schedule, so dead letters stay where they are`
  const isPermitted = (p: Properties) => isMeant(p['FunctionName']) && p['Principal'] === 'events.amazonaws.com'
  if (find(template, 'AWS::Lambda::Permission', isPermitted) === undefined)
    yield `${name} has no permission for invocations by its schedule`
}

/** Whether an operator hears of a relay that is silent, of a gap and of what is parked, and whether the relay can be given its rights. */
export function* checkRelay(template: Template, prefix: string): Generator<string> {
  const { replay: _, ...ofRelay } = RELAY_ROUTES
  for (const [subType, route] of Object.entries(ofRelay)) {
    const queue = queueName(prefix, route)
    const [id, alarm] =
      find(
        template,
        'AWS::CloudWatch::Alarm',
        (p) =>
          p['MetricName'] === 'NumberOfMessagesSent' && JSON.stringify(p['Dimensions']).includes(`"Value":"${queue}"`),
      ) ?? []
    if (alarm === undefined) yield `the queue ${queue}, to which the relay sends, has no alarm`
    // SQS has no figure for a queue that nobody uses: for a sign of life, that is the very thing.
    else if (
      subType === 'alive' &&
      (alarm['TreatMissingData'] !== 'breaching' || alarm['ComparisonOperator'] !== 'LessThanThreshold')
    )
      yield `${id} does not go off when the relay sends nothing`
  }
  const output = template.Outputs?.['RelayPolicyArn']
  const [policyId] = find(template, 'AWS::IAM::ManagedPolicy', () => true) ?? []
  if (
    policyId === undefined ||
    !isRecord(output) ||
    JSON.stringify(output['Value']) !== JSON.stringify({ Ref: policyId })
  )
    yield 'the policy of the relay is not an output of the stack'
}
