/* noop milter in C: "all" sees every step; "eoh" sees the envelope and headers and accepts at end of header. */
#include <libmilter/mfapi.h>
#include <string.h>
#include <stdlib.h>
static int eoh_only;
static sfsistat neg(SMFICTX*c,unsigned long f0,unsigned long f1,unsigned long f2,unsigned long f3,unsigned long*p0,unsigned long*p1,unsigned long*p2,unsigned long*p3){
 *p0=0x13f&f0;*p2=*p3=0; if(eoh_only) *p1=f1&(SMFIP_NOHELO|SMFIP_NOUNKNOWN|SMFIP_NODATA|SMFIP_SKIP|SMFIP_NR_CONN|SMFIP_NR_HDR|SMFIP_NR_MAIL|SMFIP_NR_RCPT); else *p1=0; return SMFIS_CONTINUE;}
static sfsistat R(void){return eoh_only?SMFIS_NOREPLY:SMFIS_CONTINUE;}
static sfsistat con(SMFICTX*c,char*h,_SOCK_ADDR*a){return R();}
static sfsistat hel(SMFICTX*c,char*h){return SMFIS_CONTINUE;}
static sfsistat fro(SMFICTX*c,char**h){return R();}
static sfsistat rcp(SMFICTX*c,char**h){return R();}
static sfsistat hdr(SMFICTX*c,char*h,char*v){return R();}
static sfsistat eoh(SMFICTX*c){return eoh_only?SMFIS_ACCEPT:SMFIS_CONTINUE;}
static sfsistat bod(SMFICTX*c,unsigned char*b,size_t n){return SMFIS_CONTINUE;}
static sfsistat eom(SMFICTX*c){return SMFIS_CONTINUE;}
int main(int n,char**v){if(n<3)return 2;struct smfiDesc d;memset(&d,0,sizeof d);d.xxfi_name="noop";d.xxfi_version=SMFI_VERSION;d.xxfi_flags=0x3f;eoh_only=!strcmp(v[2],"eoh");
 d.xxfi_connect=con;d.xxfi_helo=hel;d.xxfi_envfrom=fro;d.xxfi_envrcpt=rcp;d.xxfi_header=hdr;d.xxfi_eoh=eoh;d.xxfi_body=bod;d.xxfi_eom=eom;d.xxfi_negotiate=neg;
 smfi_setconn(v[1]);smfi_register(d);return smfi_main();}
