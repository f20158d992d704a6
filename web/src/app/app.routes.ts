import type { Routes } from '@angular/router';

import { guard } from './session/guard';
import { entry } from './shell/entries';

/** A route of the table of entries: it has the entry's title and its guard. */
function of(path: string, loadComponent: NonNullable<Routes[number]['loadComponent']>) {
  const { label, need } = entry(path);
  return { path, title: label, loadComponent, canMatch: need ? [guard(need)] : [] };
}

const everybody = () => import('./everybody');

export const routes: Routes = [
  { ...of('', () => everybody().then((m) => m.HomePage)), pathMatch: 'full' },
  { path: 'models/:id', title: 'Model', loadComponent: () => everybody().then((m) => m.ModelPage) },
  of('requests', () => everybody().then((m) => m.RequestsPage)),
  { path: 'requests/:id', title: 'Request', loadComponent: () => everybody().then((m) => m.RequestPage) },
  { path: 'requests/:id/compare', title: 'Compare', loadComponent: () => everybody().then((m) => m.ComparePage) },
  { path: 'sign-in', title: 'Sign in', loadComponent: () => everybody().then((m) => m.SignInPage) },
  { path: 'sign-up', title: 'Sign up', loadComponent: () => everybody().then((m) => m.SignUpPage) },
  { path: 'account', title: 'Account', loadComponent: () => everybody().then((m) => m.AccountPage) },
  { path: 'account/forgotten', title: 'Forgotten password', loadComponent: () => everybody().then((m) => m.ForgottenPage) },
  { path: 'account/password', title: 'New password', loadComponent: () => everybody().then((m) => m.PasswordPage) },
  { path: 'account/email', title: 'Confirm your address', loadComponent: () => everybody().then((m) => m.EmailPage) },
  of('admin/statistics', () => import('./admin/statistics-page').then((m) => m.StatisticsPage)),
  of('admin/requests', () => import('./admin/requests-page').then((m) => m.AdminRequestsPage)),
  of('admin/instances', () => import('./admin/instances-page').then((m) => m.InstancesPage)),
  of('admin/history', () => import('./admin/history-page').then((m) => m.HistoryPage)),
  { ...of('admin/instances', () => import('./admin/instance-page').then((m) => m.InstancePage)), path: 'admin/instances/:id', title: 'Instance' },
  of('admin/catalogue', () => import('./admin/catalogue-page').then((m) => m.CataloguePage)),
  { ...of('admin/catalogue', () => import('./admin/catalogue-model-page').then((m) => m.CatalogueModelPage)), path: 'admin/catalogue/:id', title: 'Model' },
  of('admin/users', () => import('./admin/users-page').then((m) => m.UsersPage)),
  of('admin/audit', () => import('./admin/audit-page').then((m) => m.AuditPage)),
  { path: 'admin', children: [{ path: '**', title: 'Not allowed', loadComponent: () => everybody().then((m) => m.ForbiddenPage) }] },
  { path: '**', title: 'Not found', loadComponent: () => everybody().then((m) => m.NotFoundPage) },
];
