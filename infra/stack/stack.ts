import { createAlarms } from './alarms.ts'
import { createFunctions } from './functions.ts'
import { API, logicalName, stackName } from './names.ts'
import type { StackOptions } from './options.ts'
import { createQueueResources } from './queues.ts'
import { createRelayPolicy, createRoles } from './roles.ts'
import { kept, ref } from './template.ts'

/** What serverless.yml takes from here. All of it is made from the route table. */
export function createStack(options: StackOptions) {
  const logGroups = [...options.routes.map(logicalName), 'Api'].map((logical) => [
    `${logical}LogGroup`,
    kept(options.keep),
  ])
  return {
    name: stackName(options.prefix),
    logRetentionDays: options.logRetentionDays,
    tracing: options.tracing,
    functions: createFunctions(options),
    resources: {
      Description: `enigma-relay: queues and functions for the notifications of Enigma diallers (${stackName(options.prefix)})`,
      Resources: {
        ...createQueueResources(options),
        ...createRoles(options),
        ...createRelayPolicy(options),
        ...createAlarms(options),
      },
      // The framework makes the log groups.
      extensions: Object.fromEntries(logGroups) as Record<string, ReturnType<typeof kept>>,
      Outputs: {
        QueuePrefix: { Description: 'ENIGMA_QUEUE_PREFIX of the relay', Value: options.prefix },
        Region: { Description: 'AWS_REGION of the relay', Value: ref('AWS::Region') },
        RelayPolicyArn: {
          Description: 'The managed policy for the credentials of the relay',
          Value: ref('RelayPolicy'),
        },
        AlarmTopicArn: { Description: 'The SNS topic of all alarms: subscribe to it', Value: ref('AlarmTopic') },
        ApiFunctionName: { Description: 'The function behind the read API', Value: options.prefix + API },
      },
    },
  }
}
