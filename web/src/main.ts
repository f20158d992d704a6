import { bootstrapApplication } from '@angular/platform-browser';

import { App } from './app/app';
import { config } from './app/app.config';
import { letOwnWorkersPass } from './app/trusted';

letOwnWorkersPass();
bootstrapApplication(App, config).catch((error: unknown) => console.error(error));
