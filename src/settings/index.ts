/** Reads the settings that functions, read model and API share on every platform. */
export {
  FunctionsError,
  provideSettings,
  readAbandonRule,
  readEvents,
  readMissingWait,
  readStoreOptions,
  setting,
  type Env,
  type ReadSetting,
} from './function-settings.ts'
